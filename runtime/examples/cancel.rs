//! An answer that streams from a thread of its own, and that another thread cancels.
//!
//! `cargo run --release -p godwit --example cancel MODEL.gguf`

use std::error::Error;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};

use godwit::{Engine, EngineOptions, GenerateOptions, Gpu, GpuOptions, Message, Model};

/// Pieces of text that are read before the answer is cancelled.
const WANTED: usize = 12;

/// Answers until somebody cancels. Sends the text piece by piece; what comes back is whether it was
/// cancelled.
async fn answer(
    path: &Path,
    is_cancelled: &AtomicBool,
    pieces: &Sender<String>,
) -> Result<bool, godwit::Error> {
    // Loading and prefill stop in the middle, too.
    let mut goes_on = |_| match is_cancelled.load(Ordering::Relaxed) {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    };
    let model = Model::open(path)?;
    let gpu = Gpu::open(&GpuOptions::default()).await?;
    let engine = Engine::load(gpu, &model, &EngineOptions::default(), &mut goes_on).await?;
    let mut session = engine.session().await?;
    let question = [Message::user("Tell me the history of the railway.")];
    let prompt = model.chat()?.encode(model.tokenizer(), &question, true)?;
    session.prefill(&prompt, &mut goes_on).await?;
    let options = GenerateOptions::default()
        .sampling(model.sampling())
        .max_tokens(200);
    let mut generation = session.generate(options)?;
    while let Some(piece) = generation.next().await? {
        // A receiver that is gone cancels as well.
        if pieces.send(piece.text).is_err() || is_cancelled.load(Ordering::Relaxed) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: cancel MODEL.gguf")?;
    let is_cancelled = Arc::new(AtomicBool::new(false));
    let (sender, pieces) = channel();
    let worker = std::thread::spawn({
        let is_cancelled = Arc::clone(&is_cancelled);
        move || pollster::block_on(answer(Path::new(&path), &is_cancelled, &sender))
    });
    for piece in pieces.iter().take(WANTED) {
        print!("{piece}");
    }
    is_cancelled.store(true, Ordering::Relaxed);
    drop(pieces);
    let was_cancelled = match worker.join().map_err(|_| "the worker panicked")? {
        Err(godwit::Error::Stopped) => true,
        ended => ended?,
    };
    println!();
    println!(
        "{}",
        if was_cancelled {
            "(cancelled)"
        } else {
            "(whole)"
        }
    );
    Ok(())
}
