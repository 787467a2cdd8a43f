//! The smallest program: a question, and the model's answer.
//!
//! `cargo run --release -p godwit --example hello MODEL.gguf`

use std::error::Error;
use std::io::Write as _;
use std::path::Path;

use godwit::{
    Engine, EngineOptions, GenerateOptions, Gpu, GpuOptions, Message, Model, Sampling, unwatched,
};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: hello MODEL.gguf")?;
    pollster::block_on(async {
        let model = Model::open(Path::new(&path))?;
        let gpu = Gpu::open(&GpuOptions::default()).await?;
        let engine = Engine::load(gpu, &model, &EngineOptions::default(), &mut unwatched).await?;
        let mut session = engine.session().await?;

        let question = [Message::user("What is the capital of France?")];
        let prompt = model.chat()?.encode(model.tokenizer(), &question, true)?;
        session.prefill(&prompt, &mut unwatched).await?;
        let mut answer =
            session.generate(GenerateOptions::default().sampling(Sampling::greedy()))?;
        while let Some(piece) = answer.next().await? {
            print!("{}", piece.text);
            std::io::stdout().flush()?;
        }
        println!();
        Ok(())
    })
}
