//! `godwit inspect`: what is in a model file.

use godwit::checkpoint::Checkpoint;
use godwit::format::{Array, Value};
use godwit::{Config, Model};
use serde_json::json;

use crate::args::InspectArgs;
use crate::load;
use crate::output::{self, Output, printable};
use crate::stop::Stop;

/// Characters of a value, and elements of an array, that are shown.
const LONGEST: usize = 60;
const ELEMENTS: usize = 6;

pub fn run(args: &InspectArgs) -> anyhow::Result<()> {
    show(&load::open(&args.source, &Stop::default())?, args.common.json)
}

/// Shows an open model.
pub fn show(model: &Model, json: bool) -> anyhow::Result<()> {
    if json { as_json(model) } else { as_text(model) }
}

fn as_text(model: &Model) -> anyhow::Result<()> {
    let (checkpoint, c, mut out) = (model.checkpoint(), model.config(), Output::new());
    out.line(&format!(
        "{} ({}, {})",
        printable(&model.name()),
        checkpoint.kind(),
        output::bytes(checkpoint.file_bytes())
    ))?;
    for file in checkpoint.files() {
        out.line(&format!("  {}", printable(file)))?;
    }
    for note in checkpoint.notes().iter().chain(model.tokenizer().notes()) {
        out.line(&format!("note: {}", printable(note)))?;
    }
    out.line(&format!(
        "\n{} layers of width {}, feed-forward {}\n{} query heads and {} KV heads of {}\n\
         vocabulary {}, window {} tokens, RoPE theta {}, scaling {:?}",
        c.layers, c.width, c.ffn, c.heads, c.kv_heads, c.head_dim, c.vocab, c.context, c.theta, c.scaling
    ))?;
    out.line("\nMetadata")?;
    for (key, value) in checkpoint.metadata().iter() {
        out.line(&format!("  {} = {}", printable(key), shown(value)))?;
    }
    out.line("\nTensors")?;
    for tensor in checkpoint.tensors() {
        let shape: Vec<String> = tensor.shape.iter().map(u64::to_string).collect();
        let (name, format) = (printable(&tensor.name), tensor.format.name());
        out.line(&format!("  {name:<30} {format:<7} {:<16} {}", shape.join(" x "), output::bytes(tensor.bytes)))?;
    }
    out.line("\nBy format")?;
    for (format, count, bytes) in by_format(checkpoint) {
        out.line(&format!("  {format:<7} {count:>5} tensors {:>10}", output::bytes(bytes)))?;
    }
    Ok(())
}

fn as_json(model: &Model) -> anyhow::Result<()> {
    let checkpoint = model.checkpoint();
    let metadata: serde_json::Map<String, serde_json::Value> =
        checkpoint.metadata().iter().map(|(key, value)| (key.to_owned(), to_json(value))).collect();
    let tensors: Vec<_> = checkpoint
        .tensors()
        .iter()
        .map(|t| json!({"name": t.name, "format": t.format.name(), "shape": t.shape, "bytes": t.bytes, "offset": t.offset, "part": t.part}))
        .collect();
    let formats: Vec<_> = by_format(checkpoint)
        .into_iter()
        .map(|(format, tensors, bytes)| json!({"format": format, "tensors": tensors, "bytes": bytes}))
        .collect();
    Output::new().json(&json!({
        "name": model.name(),
        "kind": checkpoint.kind(),
        "files": checkpoint.files(),
        "notes": checkpoint.notes().iter().chain(model.tokenizer().notes()).collect::<Vec<_>>(),
        "file_bytes": checkpoint.file_bytes(),
        "config": config(model.config()),
        "metadata": metadata,
        "tensors": tensors,
        "formats": formats,
    }))
}

fn config(c: &Config) -> serde_json::Value {
    json!({
        "layers": c.layers, "width": c.width, "ffn": c.ffn, "heads": c.heads, "kv_heads": c.kv_heads,
        "head_dim": c.head_dim, "vocab": c.vocab, "context": c.context, "rope_theta": c.theta, "eps": c.eps,
        "rope_scaling": format!("{:?}", c.scaling),
    })
}

fn by_format(checkpoint: &dyn Checkpoint) -> Vec<(&'static str, usize, u64)> {
    let sum = |format: godwit::Format| {
        let of = || checkpoint.tensors().iter().filter(|t| t.format == format);
        (format.name(), of().count(), of().map(|t| t.bytes).sum())
    };
    godwit::Format::ALL.into_iter().map(sum).filter(|(_, count, _)| *count > 0).collect()
}

fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => format!("{text:?}"),
        Value::Array(array) => return array_shown(array),
        other => to_json(other).to_string(),
    };
    let mut short: String = text.chars().take(LONGEST).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

fn array_shown(array: &Array) -> String {
    let (json, len) = (array_json(array, ELEMENTS), array.len());
    let more = if len > ELEMENTS { format!(", … ({len} in all)") } else { String::new() };
    let text = json.to_string();
    let inside: String = text.trim_start_matches('[').trim_end_matches(']').chars().take(LONGEST * 2).collect();
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
        Value::Array(array) => array_json(array, usize::MAX),
    }
}

fn array_json(array: &Array, most: usize) -> serde_json::Value {
    fn list<T>(items: &[T], most: usize, each: impl Fn(&T) -> serde_json::Value) -> serde_json::Value {
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
        Array::Nested(v) => list(v, most, |inner| array_json(inner, most)),
    }
}
