//! Any checkpoint as a GGUF file, written tensor by tensor.

use std::io::{self, Write};

use godwit_shaders::WeightFormat;

use super::recipe::Mix;
use crate::checkpoint::{Checkpoint, check_finite};
use crate::error::Error;
use crate::gguf::{GgufWriter, Tensor, Value};
use crate::model::{Config, ROPE_FACTORS, RopeScaling};
use crate::progress::{OnProgress, Progress};

/// Bytes that are written at a time, about.
const CHUNK: u64 = 16 << 20;

/// Keys of the metadata that say how the bytes lie in the original's files, or that are written
/// anew.
const LAYOUT: [&str; 6] = [
    "general.alignment",
    "general.file_type",
    "general.quantization_version",
    "split.no",
    "split.count",
    "split.tensors.count",
];

/// The version of the block layouts, which llama.cpp wants to know.
const QUANTIZATION_VERSION: u32 = 2;

/// Writes a checkpoint as a GGUF file that llama.cpp reads too. `mix` is what `general.file_type`
/// says. Of the weights, no more than some megabytes are in memory.
///
/// # Errors
/// A weight can't be read or quantised, or is not finite, the tokenizer has no name among GGUF's,
/// writing fails, or `progress` says stop.
pub fn write_gguf(
    checkpoint: &dyn Checkpoint,
    mix: Mix,
    out: &mut dyn Write,
    progress: &mut OnProgress<'_>,
) -> Result<(), Error> {
    let config = Config::read(checkpoint)?;
    checkpoint.check_weights()?;
    let mut writer = GgufWriter::default();
    // llama.cpp has the scaling of Llama 3.1 worked out in a tensor instead.
    let factors = match config.scaling {
        RopeScaling::Llama3 { .. } if checkpoint.tensor(ROPE_FACTORS).is_none() => {
            Some(rope_factors(&config)?)
        }
        _ => None,
    };
    // The tokenizer's statements take precedence over a description of it.
    let tokenizer = checkpoint.tokenizer_keys()?;
    let described = checkpoint
        .metadata()
        .iter()
        .filter(|(key, _)| tokenizer.get(key).is_none());
    for (key, value) in described.chain(tokenizer.iter()) {
        if !(LAYOUT.contains(&key) || factors.is_some() && key.starts_with("llama.rope.scaling.")) {
            writer.key(key, narrowed(key, value));
        }
    }
    writer.key("general.file_type", Value::U32(mix.file_type()));
    writer.key(
        "general.quantization_version",
        Value::U32(QUANTIZATION_VERSION),
    );
    if let Some(factors) = &factors {
        writer.tensor(ROPE_FACTORS, WeightFormat::F32, &[factors.len() as u64 / 4]);
    }
    write_tensors(checkpoint, writer, factors.as_deref(), out, progress)
}

/// The header of `writer`, then `first` and the checkpoint's tensors.
pub(super) fn write_tensors(
    checkpoint: &dyn Checkpoint,
    mut writer: GgufWriter,
    first: Option<&[u8]>,
    out: &mut dyn Write,
    progress: &mut OnProgress<'_>,
) -> Result<(), Error> {
    let io = |error: io::Error| Error::unwritten(&error);
    for tensor in checkpoint.tensors() {
        writer.tensor(&tensor.name, tensor.format, &tensor.shape);
    }
    out.write_all(&writer.header()).map_err(io)?;
    let mut at = 0;
    if let Some(bytes) = first {
        out.write_all(bytes).map_err(io)?;
        at = bytes.len() as u64;
    }
    let written = writer.tensors().iter().skip(usize::from(first.is_some()));
    let total = checkpoint.tensors().iter().map(|tensor| tensor.bytes).sum();
    let mut done = 0;
    for (tensor, place) in checkpoint.tensors().iter().zip(written) {
        out.write_all(&vec![0; (place.offset - at) as usize])
            .map_err(io)?;
        let mut begin = 0;
        while begin < tensor.bytes {
            if progress(Progress { done, total }).is_break() {
                return Err(Error::Stopped);
            }
            let end = next(tensor, begin);
            let data = checkpoint.data(tensor, begin..end)?;
            check_finite(checkpoint, tensor, begin / row_bytes(tensor), &data)?;
            out.write_all(&data).map_err(io)?;
            done += end - begin;
            begin = end;
        }
        at = place.offset + tensor.bytes;
    }
    out.write_all(&vec![0; (writer.data_bytes() - at) as usize])
        .map_err(io)
}

fn row_bytes(tensor: &Tensor) -> u64 {
    let width = tensor.shape.first().copied().unwrap_or(1);
    tensor.format.bytes(width).unwrap_or(tensor.bytes).max(1)
}

/// The end of the chunk that begins at `begin`: whole rows.
fn next(tensor: &Tensor, begin: u64) -> u64 {
    let row = row_bytes(tensor);
    (begin + (CHUNK / row).max(1) * row).min(tensor.bytes)
}

/// The divisor of each rotary frequency, as the bytes of floats.
fn rope_factors(config: &Config) -> Result<Vec<u8>, Error> {
    let plain = Config {
        scaling: RopeScaling::None,
        ..config.clone()
    }
    .frequencies()?
    .0;
    let scaled = config.frequencies()?.0;
    Ok(plain
        .iter()
        .zip(scaled)
        .flat_map(|(plain, scaled)| ((plain / scaled) as f32).to_le_bytes())
        .collect())
}

/// The types that llama.cpp wants numbers in.
fn narrowed(key: &str, value: &Value) -> Value {
    let own = key.starts_with("llama.") || key.starts_with("general.sampling.");
    match value {
        Value::F64(x) if own => Value::F32(*x as f32),
        Value::U64(x) if own && key.ends_with("top_k") => {
            i32::try_from(*x).map_or(Value::U64(*x), Value::I32)
        }
        Value::U64(x) if own => u32::try_from(*x).map_or(Value::U64(*x), Value::U32),
        other => other.clone(),
    }
}
