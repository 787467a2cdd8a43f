//! The smallest program: `cargo run --release -p godwit --example hello MODEL.gguf`.

use std::error::Error;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::Path;

use godwit::tokenizer::Special;
use godwit::{Engine, EngineOptions, Gpu, GpuOptions, Model, Sampling};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: hello MODEL.gguf")?;
    pollster::block_on(async {
        let model = Model::open(Path::new(&path))?;
        let gpu = Gpu::open(&GpuOptions::default()).await?;
        let engine = Engine::load(gpu, &model, &EngineOptions::default(), &mut |_| ()).await?;
        let mut session = engine.session().await?;
        let prompt = model
            .tokenizer()
            .encode("The capital of France is", Special::Text)?;
        session
            .prefill(&prompt, &mut |_, _| ControlFlow::Continue(()))
            .await?;
        let mut text = model.tokenizer().stream_on();
        for _ in 0..32 {
            let token = session.next(&Sampling::greedy()).await?;
            print!("{}", text.push(token));
            std::io::stdout().flush()?;
        }
        println!("{}", text.finish());
        Ok(())
    })
}
