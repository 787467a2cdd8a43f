//! `godwit quantize`: any model as a GGUF file with smaller weights.

use std::path::Path;
use std::time::Instant;

use godwit::native::{folder_of, open_file, write_atomically};
use godwit::quantize::{Importance, Quantized, Recipe, write_gguf};
use godwit::{Error, Model, Progress};
use serde_json::json;

use crate::args::QuantizeArgs;
use crate::context::stopped;
use crate::exit::Usage;
use crate::hub;
use crate::load::bar;
use crate::output::{self, Output};
use crate::stop::Stop;

pub fn run(args: &QuantizeArgs) -> anyhow::Result<()> {
    check_other(&args.model, &args.output)?;
    check_output(&args.output, args.force)?;
    let stop = Stop::listen()?;
    let path = hub::locate(&args.model, &stop)?;
    let begin = Instant::now();
    let model = Model::open(&path)?;
    for note in model.notes() {
        output::warn(note);
    }
    let importance = args.imatrix.as_deref().map(|path| Importance::read(open_file(path)?)).transpose();
    let importance = importance.map_err(Error::from)?;
    let recipe = Recipe { mix: args.mix, overrides: args.overrides.clone(), importance };
    let quantized = Quantized::new(model.shared_checkpoint(), &recipe);
    let bar = bar("quantising", "{bytes}/{total_bytes}");
    let mut show = |progress: Progress| {
        bar.set_length(progress.total);
        bar.set_position(progress.done);
        stop.flow()
    };
    let written = write_atomically(&args.output, async |file| write_gguf(&quantized, args.mix, file, &mut show));
    let result = pollster::block_on(written);
    bar.finish_and_clear();
    result.map_err(stopped)?;
    let weights: u64 = model.checkpoint().tensors().iter().map(|t| t.shape.iter().product::<u64>()).sum();
    let bytes = std::fs::metadata(&args.output)?.len();
    let (bits, seconds) = (8.0 * bytes as f64 / weights.max(1) as f64, begin.elapsed().as_secs_f64());
    let mut out = Output::new();
    if args.common.json {
        return out.json(&json!({
            "output": args.output, "type": args.mix.name(), "bytes": bytes, "weights": weights, "bits_per_weight": bits,
            "seconds": seconds,
        }));
    }
    out.line(&format!(
        "{}: {}, {bits:.2} bits a weight, in {seconds:.1} s",
        args.output.display(),
        output::bytes(bytes)
    ))
}

fn usage(output: &Path, fault: &str) -> anyhow::Result<()> {
    Err(Usage(format!("{}: {fault}", output.display())).into())
}

/// Fails where nothing could be written, or what is there would be lost: now, not after the work.
pub fn check_output(output: &Path, force: bool) -> anyhow::Result<()> {
    if output.is_dir() || !folder_of(output).is_dir() {
        return usage(output, "can't be written there: name a file in a folder that exists");
    }
    if output.exists() && !force {
        return usage(output, "it exists already; --force replaces it");
    }
    Ok(())
}

/// Fails where the output is the model, or part of it.
fn check_other(input: &Path, output: &Path) -> anyhow::Result<()> {
    if let (Ok(from), Ok(to)) = (input.canonicalize(), output.canonicalize())
        && (from == to || from == to.parent().unwrap_or(&to) && to.extension().is_some_and(|e| e == "safetensors"))
    {
        return usage(output, "that is the model itself; write to another file");
    }
    Ok(())
}
