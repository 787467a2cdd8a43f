//! `godwit doctor`: the GPUs, what they can do, and whether a model fits.

use godwit::{Gpu, GpuError, KvFormat, MemoryUse, Model};
use serde_json::json;

use crate::args::DoctorArgs;
use crate::load;
use crate::output::{self, Output};

pub fn run(args: &DoctorArgs) -> anyhow::Result<()> {
    pollster::block_on(examine(args))
}

async fn examine(args: &DoctorArgs) -> anyhow::Result<()> {
    let options = args.common.gpu();
    let adapters = Gpu::list(&options).await;
    let gpu = Gpu::open(&options).await?;
    let bandwidth = gpu.measure_bandwidth().await?;
    let model = args.model.as_deref().map(load::open).transpose()?;
    let mut out = Output::new();
    let (chosen, caps) = (gpu.summary(), gpu.caps());
    if args.common.json {
        let adapters: Vec<_> = adapters.iter().map(adapter_json).collect();
        return out.json(&json!({
            "adapters": adapters,
            "chosen": chosen.index,
            "bandwidth_bytes_per_s": bandwidth,
            "max_binding": caps.max_binding,
            "max_buffer": caps.max_buffer,
            "subgroups": caps.subgroups,
            "model": model.as_ref().map(|m| fit_json(m, &gpu)),
        }));
    }
    out.line("Adapters")?;
    for a in &adapters {
        let mark = if a.index == chosen.index { '*' } else { ' ' };
        out.line(&format!("{mark} {} {a}\n    driver {}", a.index, a.driver))?;
        out.line(&format!(
            "    binding {}, buffer {}, features: {}",
            output::bytes(a.max_binding),
            output::bytes(a.max_buffer),
            if a.features.is_empty() { "none".into() } else { a.features.join(", ") }
        ))?;
    }
    out.line(&format!("\nChosen: {chosen}, reads {:.1} GB/s", bandwidth / 1e9))?;
    if chosen.is_cpu() {
        out.line("  It computes on the CPU. A GPU's own driver is many times as fast.")?;
    }
    for (kernel, variants) in gpu.variants() {
        out.line(&format!("  {kernel}: {variants}"))?;
    }
    if let Some(model) = &model {
        fit_text(model, &gpu, bandwidth, &mut out)?;
    }
    Ok(())
}

fn adapter_json(a: &godwit::AdapterSummary) -> serde_json::Value {
    json!({
        "index": a.index, "name": a.name, "driver": a.driver, "backend": a.backend.to_string(), "kind": a.kind,
        "max_binding": a.max_binding, "max_buffer": a.max_buffer, "features": a.features,
    })
}

/// Context sizes to speak of: powers of two up to the model's window.
fn contexts(model: &Model) -> Vec<u32> {
    let window = model.config().context;
    let mut sizes: Vec<u32> = (11..32).map(|bit| 1 << bit).take_while(|&size| size < window).collect();
    sizes.push(window);
    sizes
}

fn fit_json(model: &Model, gpu: &Gpu) -> serde_json::Value {
    let sizes: Vec<_> = contexts(model)
        .into_iter()
        .map(|context| {
            let memory = MemoryUse::estimate(model.config(), model.gguf(), context, KvFormat::default());
            json!({"context": context, "weights": memory.weights, "kv": memory.kv, "scratch": memory.scratch})
        })
        .collect();
    json!({"name": model.name(), "contexts": sizes, "fits": fits(model, gpu)})
}

/// Whether the memory can be had is known only by asking for it; that its pieces are small enough is known now.
fn fits(model: &Model, gpu: &Gpu) -> Result<bool, String> {
    let largest = MemoryUse::estimate(model.config(), model.gguf(), 1, KvFormat::default()).scratch;
    if largest > gpu.caps().max_buffer {
        let what = "activations".to_owned();
        return Err(GpuError::BufferTooLarge { what, bytes: largest, most: gpu.caps().max_buffer }.to_string());
    }
    Ok(true)
}

fn fit_text(model: &Model, gpu: &Gpu, bandwidth: f64, out: &mut Output) -> anyhow::Result<()> {
    out.line(&format!("\n{}", output::printable(&model.name())))?;
    if let Err(fault) = fits(model, gpu) {
        out.line(&format!("  does not fit: {fault}"))?;
    }
    for context in contexts(model) {
        let memory = MemoryUse::estimate(model.config(), model.gguf(), context, KvFormat::default());
        let full = (memory.weights + memory.kv) as f64 / bandwidth;
        out.line(&format!(
            "  context {context:>8}: {:>9} (weights {}, KV cache {}), at most {:.1} tokens/s when full",
            output::bytes(memory.total()),
            output::bytes(memory.weights),
            output::bytes(memory.kv),
            1.0 / full
        ))?;
    }
    Ok(())
}
