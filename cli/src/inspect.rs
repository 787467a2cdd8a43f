//! `godwit inspect`: what is in a model file.

use std::sync::Arc;

use godwit::low_level::Examination;
use godwit::low_level::checkpoint::Checkpoint;
use godwit::low_level::gguf::{Array, Value};
use godwit::low_level::name;
use godwit::{Config, Error, Model, RopeOverride};
use serde_json::json;

use crate::args::InspectArgs;
use crate::load;
use crate::output::{self, Output, shown};
use crate::stop::Stop;
use crate::wgsl;

/// Characters of a value, and elements of an array, that are shown.
const LONGEST: usize = 60;
const ELEMENTS: usize = 6;

pub fn run(args: &InspectArgs) -> anyhow::Result<()> {
    if let Some(kernel) = &args.wgsl {
        return wgsl::show(kernel, args);
    }
    let rope = args.source.rope.change().unwrap_or_default();
    show(
        &load::checkpoint_to_inspect(&args.source.file, args.files.access(), &Stop::default())?,
        &rope,
        args.plain.json,
    )
}

/// Shows the files of a model, and whether it can be run with this rotary embedding.
pub fn show(
    checkpoint: &Arc<dyn Checkpoint>,
    rope: &RopeOverride,
    json: bool,
) -> anyhow::Result<()> {
    let mut found = Examination::of(checkpoint.as_ref(), rope);
    // The tokenizer, and whether it fits the weights.
    match Model::from_checkpoint_with(checkpoint.clone(), rope) {
        Ok(model) => {
            // Keys that are not known are listed.
            let is_listed = |note: &String| found.unused_keys_notes.contains(note);
            found.notes = model
                .notes()
                .iter()
                .filter(|note| !is_listed(note))
                .cloned()
                .collect();
        }
        Err(error) if found.obstacles.contains(&error) => {}
        Err(error) => found.obstacles.push(error),
    }
    if json {
        as_json(checkpoint.as_ref(), &found)
    } else {
        as_text(checkpoint.as_ref(), &found)
    }
}

fn as_text(checkpoint: &dyn Checkpoint, found: &Examination) -> anyhow::Result<()> {
    let mut out = Output::new();
    out.line(&format!(
        "{} ({}, {})",
        shown(&name(checkpoint)),
        checkpoint.kind(),
        output::bytes(checkpoint.file_bytes())
    ))?;
    for file in checkpoint.files() {
        out.line(&format!("  {}", shown(file)))?;
    }
    for note in &found.notes {
        out.line(&format!("note: {}", shown(note)))?;
    }
    if let Some(c) = &found.config {
        out.line(&format!(
            "\n{} layers of width {}, feed-forward {}\n{} query heads and {} KV heads of {}\n\
             vocabulary {}, window {} tokens, RoPE theta {}, scaling {:?}",
            c.layers,
            c.width,
            c.ffn,
            c.heads,
            c.kv_heads,
            c.head_dim,
            c.vocab,
            c.context,
            c.theta,
            c.scaling
        ))?;
    }
    if !found.obstacles.is_empty() {
        out.line("\nCan't be run")?;
    }
    for obstacle in &found.obstacles {
        // An error names a few tensors; here is room for all.
        match obstacle {
            Error::TensorsUnused { file, names } => {
                out.line(&format!(
                    "  {}: there is no code for these tensors:",
                    shown(file)
                ))?;
                names
                    .iter()
                    .try_for_each(|name| out.line(&format!("    {}", shown(name))))?;
            }
            other => out.line(&format!("  {}", shown(&other.to_string())))?,
        }
    }
    let values = found.unused_values.iter().map(ToString::to_string);
    let tensors = found
        .unused_tensors
        .iter()
        .map(|name| format!("tensor {name}, which changes nothing"));
    let keys = found
        .unused_keys
        .iter()
        .map(|key| format!("key {key}, which is not known"));
    let unused: Vec<String> = values.chain(tensors).chain(keys).collect();
    if !unused.is_empty() {
        out.line("\nNot used")?;
    }
    unused
        .iter()
        .try_for_each(|line| out.line(&format!("  {}", shown(line))))?;
    out.line("\nMetadata")?;
    for (key, value) in checkpoint.metadata().iter() {
        out.line(&format!("  {} = {}", shown(key), value_text(value)))?;
    }
    out.line("\nTensors")?;
    for tensor in checkpoint.tensors() {
        let shape: Vec<String> = tensor.shape.iter().map(u64::to_string).collect();
        let (name, format) = (
            shown(&checkpoint.own_name(&tensor.name)),
            tensor.format.name(),
        );
        out.line(&format!(
            "  {name:<30} {format:<7} {:<16} {}",
            shape.join(" x "),
            output::bytes(tensor.bytes)
        ))?;
    }
    for tensor in checkpoint.foreign_tensors() {
        let shape: Vec<String> = tensor.shape.iter().map(u64::to_string).collect();
        out.line(&format!(
            "  {:<30} {:<7} {}",
            shown(&tensor.name),
            tensor.format,
            shape.join(" x ")
        ))?;
    }
    out.line("\nBy format")?;
    for (format, count, bytes) in by_format(checkpoint) {
        out.line(&format!(
            "  {format:<7} {count:>5} tensors {:>10}",
            output::bytes(bytes)
        ))?;
    }
    Ok(())
}

fn as_json(checkpoint: &dyn Checkpoint, found: &Examination) -> anyhow::Result<()> {
    let metadata: serde_json::Map<String, serde_json::Value> = checkpoint
        .metadata()
        .iter()
        .map(|(key, value)| (key.to_owned(), to_json(value)))
        .collect();
    let tensors: Vec<_> = checkpoint
        .tensors()
        .iter()
        .map(|t| {
            json!({
                "name": t.name, "own_name": checkpoint.own_name(&t.name), "format": t.format.name(),
                "shape": t.shape,
                "bytes": t.bytes, "offset": t.offset, "part": t.part,
            })
        })
        .collect();
    let foreign: Vec<_> = checkpoint
        .foreign_tensors()
        .iter()
        .map(|t| json!({"name": t.name, "format": t.format, "shape": t.shape, "part": t.part}))
        .collect();
    let formats: Vec<_> = by_format(checkpoint)
        .into_iter()
        .map(|(format, tensors, bytes)| {
            json!({"format": format, "tensors": tensors, "bytes": bytes})
        })
        .collect();
    let texts = |errors: &[Error]| errors.iter().map(ToString::to_string).collect::<Vec<_>>();
    let unsupported: Vec<&String> = found
        .obstacles
        .iter()
        .filter_map(|error| {
            if let Error::TensorsUnused { names, .. } = error {
                Some(names)
            } else {
                None
            }
        })
        .flatten()
        .collect();
    Output::new().json(&json!({
        "name": name(checkpoint),
        "runs": found.obstacles.is_empty(),
        "obstacles": texts(&found.obstacles),
        "unsupported_tensors": unsupported,
        "unused_tensors": found.unused_tensors,
        "unused_keys": found.unused_keys,
        "unused_values": found.unused_values.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "kind": checkpoint.kind(),
        "files": checkpoint.files(),
        "notes": found.notes,
        "file_bytes": checkpoint.file_bytes(),
        "config": found.config.as_ref().map(config),
        "metadata": metadata,
        "tensors": tensors,
        "foreign_tensors": foreign,
        "formats": formats,
    }))
}

fn config(c: &Config) -> serde_json::Value {
    json!({
        "layers": c.layers, "width": c.width, "ffn": c.ffn, "heads": c.heads,
        "kv_heads": c.kv_heads,
        "head_dim": c.head_dim, "vocab": c.vocab, "context": c.context, "rope_theta": c.theta,
        "eps": c.eps,
        "rope_scaling": format!("{:?}", c.scaling),
    })
}

fn by_format(checkpoint: &dyn Checkpoint) -> Vec<(&'static str, usize, u64)> {
    let sum = |format: godwit::WeightFormat| {
        let of = || checkpoint.tensors().iter().filter(|t| t.format == format);
        (format.name(), of().count(), of().map(|t| t.bytes).sum())
    };
    godwit::WeightFormat::ALL
        .into_iter()
        .map(sum)
        .filter(|(_, count, _)| *count > 0)
        .collect()
}

fn value_text(value: &Value) -> String {
    let text = match value {
        Value::String(text) => format!("{text:?}"),
        Value::Array(array) => return array_text(array),
        other => to_json(other).to_string(),
    };
    let mut short: String = text.chars().take(LONGEST).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

fn array_text(array: &Array) -> String {
    let (json, len) = (array_json(array, ELEMENTS), array.len());
    let more = if len > ELEMENTS {
        format!(", … ({len} in all)")
    } else {
        String::new()
    };
    let text = json.to_string();
    let inside: String = text
        .trim_start_matches('[')
        .trim_end_matches(']')
        .chars()
        .take(LONGEST * 2)
        .collect();
    format!("[{inside}{more}]")
}

/// Numbers that JSON has no words for become strings.
fn float(number: f64) -> serde_json::Value {
    serde_json::Number::from_f64(number).map_or_else(|| number.to_string().into(), Into::into)
}

fn to_json(value: &Value) -> serde_json::Value {
    match value {
        Value::U8(n) => json!(n),
        Value::I8(n) => json!(n),
        Value::U16(n) => json!(n),
        Value::I16(n) => json!(n),
        Value::U32(n) => json!(n),
        Value::I32(n) => json!(n),
        Value::U64(n) => json!(n),
        Value::I64(n) => json!(n),
        Value::F32(n) => float((*n).into()),
        Value::F64(n) => float(*n),
        Value::Bool(b) => json!(b),
        Value::String(text) => json!(text),
        Value::Bytes(bytes) => json!(String::from_utf8_lossy(bytes)),
        Value::Array(array) => array_json(array, usize::MAX),
    }
}

fn array_json(array: &Array, most: usize) -> serde_json::Value {
    fn list<T>(
        items: &[T],
        most: usize,
        each: impl Fn(&T) -> serde_json::Value,
    ) -> serde_json::Value {
        items.iter().take(most).map(each).collect()
    }
    match array {
        Array::U8(v) => list(v, most, |n| json!(n)),
        Array::I8(v) => list(v, most, |n| json!(n)),
        Array::U16(v) => list(v, most, |n| json!(n)),
        Array::I16(v) => list(v, most, |n| json!(n)),
        Array::U32(v) => list(v, most, |n| json!(n)),
        Array::I32(v) => list(v, most, |n| json!(n)),
        Array::U64(v) => list(v, most, |n| json!(n)),
        Array::I64(v) => list(v, most, |n| json!(n)),
        Array::F32(v) => list(v, most, |n| float((*n).into())),
        Array::F64(v) => list(v, most, |n| float(*n)),
        Array::Bool(v) => list(v, most, |b| json!(b)),
        Array::String(v) => list(v, most, |text| json!(text)),
        Array::Bytes(v) => list(v, most, |bytes| json!(String::from_utf8_lossy(bytes))),
        Array::Nested(v) => list(v, most, |inner| array_json(inner, most)),
    }
}
