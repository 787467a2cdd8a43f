//! A conversation: what the model has read once, it does not read again.
//!
//! `cargo run --release -p godwit --example chat MODEL.gguf`, then a message a line.

use std::error::Error;
use std::io::Write as _;
use std::path::Path;

use godwit::{Engine, EngineOptions, GenerateOptions, Gpu, GpuOptions, Message, Model, unwatched};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: chat MODEL.gguf")?;
    pollster::block_on(async {
        let model = Model::open(Path::new(&path))?;
        let gpu = Gpu::open(&GpuOptions::default()).await?;
        let engine = Engine::load(gpu, &model, &EngineOptions::default(), &mut unwatched).await?;
        let mut session = engine.session().await?;
        let template = model.chat()?;

        let mut messages = vec![Message::system("You answer in one short sentence.")];
        for line in std::io::stdin().lines() {
            messages.push(Message::user(line?));
            let prompt = template.encode(model.tokenizer(), &messages, true)?;
            // Only the new message is computed.
            let reuse = session.prefill_to(&prompt, &mut unwatched).await?;
            eprintln!("({} tokens known, {} read)", reuse.kept, reuse.computed);
            let options = GenerateOptions::default()
                .sampling(model.sampling())
                .max_tokens(256);
            let mut answer = session.generate(options)?;
            while let Some(piece) = answer.next().await? {
                print!("{}", piece.text);
                std::io::stdout().flush()?;
            }
            println!();
            messages.push(Message::assistant(answer.text()));
        }
        Ok(())
    })
}
