//! Questions about a long document: it is read once, and kept in a file for the next start.
//!
//! `cargo run --release -p godwit --example document MODEL.gguf TEXT.txt SNAPSHOT.kv QUESTION`

use std::error::Error;
use std::fs::File;
use std::io::{BufReader, BufWriter, Write as _};
use std::ops::ControlFlow;
use std::path::Path;

use godwit::{
    Engine, EngineOptions, GenerateOptions, Gpu, GpuOptions, Model, Progress, Special, unwatched,
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, text, snapshot, question] = arguments.as_slice() else {
        return Err("usage: document MODEL.gguf TEXT.txt SNAPSHOT.kv QUESTION".into());
    };
    pollster::block_on(async {
        let model = Model::open(Path::new(model))?;
        let gpu = Gpu::open(&GpuOptions::default()).await?;
        let engine = Engine::load(gpu, &model, &EngineOptions::default(), &mut unwatched).await?;
        let mut session = engine.session().await?;

        let document = std::fs::read_to_string(text)?;
        let document = model.tokenizer().encode_prompt(&document)?;
        let mut show = |Progress { done, total, .. }: Progress| {
            eprint!("\r{done} of {total} tokens");
            ControlFlow::Continue(())
        };
        if Path::new(snapshot).exists() {
            let mut file = BufReader::new(File::open(snapshot)?);
            // A snapshot of another text or another model is refused.
            session
                .resume(&mut file, Some(&document), &mut show)
                .await?;
            eprintln!(", from {snapshot}");
        } else {
            session.prefill(&document, &mut show).await?;
            eprintln!(", computed");
            // A program that is interrupted leaves no half snapshot.
            let unfinished = format!("{snapshot}.unfinished");
            let mut file = BufWriter::new(File::create(&unfinished)?);
            let (end, note) = (document.len(), serde_json::Value::Null);
            session
                .save(&mut file, 0..end, note, &mut unwatched)
                .await?;
            file.flush()?;
            std::fs::rename(unfinished, snapshot)?;
        }

        let question = format!("\n\nQuestion: {question}\nAnswer:");
        let question = model.tokenizer().encode(&question, Special::Text)?;
        session.prefill(&question, &mut unwatched).await?;
        let options = GenerateOptions::default()
            .sampling(model.sampling())
            .max_tokens(100)
            .stop(vec!["\n".into()]);
        let mut answer = session.generate(options)?;
        while answer.next().await?.is_some() {}
        println!("{}", answer.text().trim());
        Ok(())
    })
}
