//! `godwit quantize`: any model as a GGUF file with smaller weights.

use std::time::Instant;

use godwit::low_level::io::open_file;
use godwit::quantize::{Importance, Quantized, Recipe, write_gguf};
use godwit::{Error, Model, Progress};
use serde_json::json;

use crate::args::QuantizeArgs;
use crate::destination::{Destination, Kind};
use crate::exit::ended;
use crate::locate::locate;
use crate::lossy::{substituted, warn_of_lossy};
use crate::output::{self, Output};
use crate::progress::bar;
use crate::stop::Stop;

pub fn run(args: &QuantizeArgs) -> anyhow::Result<()> {
    let mut destination = Destination::new(&args.output, Kind::Model, Some(args.force))?;
    let stop = Stop::listen()?;
    let path = locate(&args.model, args.yes, &stop)?;
    let begin = Instant::now();
    let model = Model::open_with(&path, args.files.access())?;
    destination.protect(
        model
            .checkpoint()
            .paths()
            .into_iter()
            .chain(args.imatrix.clone()),
    )?;
    for note in model.notes() {
        output::warn(note);
    }
    let importance = args
        .imatrix
        .as_deref()
        .map(|path| Importance::read(open_file(path)?))
        .transpose();
    let importance = importance.map_err(Error::from)?;
    let recipe = Recipe::from(args.mix)
        .overrides(args.overrides.clone())
        .importance(importance);
    let quantized = Quantized::new(model.shared_checkpoint(), &recipe);
    warn_of_lossy(&quantized, args.mix);
    let bar = bar("quantising", "{bytes}/{total_bytes}");
    let mut show = |progress: Progress| {
        bar.show(progress);
        stop.flow()
    };
    let written = destination.write(async |file| write_gguf(&quantized, args.mix, file, &mut show));
    let result = pollster::block_on(written);
    drop(bar);
    result.map_err(ended)?;
    let weights: u64 = model
        .checkpoint()
        .tensors()
        .iter()
        .map(|t| t.shape.iter().product::<u64>())
        .sum();
    let bytes = std::fs::metadata(&args.output)?.len();
    let (bits, seconds) = (
        8.0 * bytes as f64 / weights.max(1) as f64,
        begin.elapsed().as_secs_f64(),
    );
    let mut out = Output::new();
    if args.plain.json {
        return out.json(&json!({
            "output": args.output, "type": args.mix.name(), "bytes": bytes, "weights": weights,
            "bits_per_weight": bits,
            "seconds": seconds,
            "substitutions": quantized
                .substitutions()
                .iter()
                .map(|(wanted, used, count)| {
                    json!({"wanted": wanted.name(), "used": used.name(), "tensors": count})
                })
                .collect::<Vec<_>>(),
        }));
    }
    for sentence in substituted(&quantized) {
        output::note(&format!("({sentence})"));
    }
    out.line(&format!(
        "{}: {}, {bits:.2} bits a weight, in {seconds:.1} s",
        args.output.display(),
        output::bytes(bytes)
    ))
}
