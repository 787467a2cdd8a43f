//! `godwit imatrix`: which inputs of a model's matrices are large, measured on a text.

use godwit::Progress;
use godwit::quantize::InputSquares;
use serde_json::json;

use crate::answer::rate;
use crate::args::ImatrixArgs;
use crate::destination::{Destination, Kind};
use crate::exit::{Interrupted, ended};
use crate::output::Output;
use crate::progress::bar;
use crate::text::Text;

pub fn run(args: &ImatrixArgs) -> anyhow::Result<()> {
    let destination = Destination::new(&args.output, Kind::Importance, Some(args.force))?;
    pollster::block_on(measure(args, destination))
}

async fn measure(args: &ImatrixArgs, mut destination: Destination) -> anyhow::Result<()> {
    let text = Text::load(&args.text, &args.common).await?;
    let model = text.loaded.model.checkpoint();
    destination.protect(model.paths().into_iter().chain([args.text.file.clone()]))?;
    let mut session = text.loaded.engine.session().await?;
    let mut squares = InputSquares::default();
    let bar = bar("measuring", "{pos}/{len} chunks");
    let begin = std::time::Instant::now();
    let chunks = text.chunks();
    bar.show(Progress::new(0, chunks.len() as u64));
    for (_, read) in chunks {
        if text.stop.requested() {
            bar.finish_and_clear();
            return Err(Interrupted.into());
        }
        session.calibrate(&read, &mut squares).await?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    let name = args.text.file.display().to_string();
    let size = text.size as u32;
    destination
        .write(async |file| squares.write(vec![name], size, file))
        .await
        .map_err(ended)?;
    let (tokens, seconds) = (squares.tokens(), begin.elapsed().as_secs_f64());
    let mut out = Output::new();
    match args.common.json {
        true => out.json(&json!({
            "output": args.output, "tokens": tokens, "seconds": seconds,
            "tokens_per_s": rate(tokens as usize, seconds),
        })),
        false => out.line(&format!(
            "{}: {tokens} tokens, in {seconds:.1} \
            s",
            args.output.display()
        )),
    }
}
