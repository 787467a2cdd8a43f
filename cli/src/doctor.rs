//! `godwit doctor`: the GPUs, what they can do, and whether a model fits.

use godwit::{ContextSize, Gpu, KvFormat, KvType, MemoryUse, Model};
use serde_json::json;

use crate::args::{Common, DoctorArgs, ModelSource};
use crate::load;
use crate::output::{self, Output};
use crate::stop::Stop;

pub fn run(args: &DoctorArgs) -> anyhow::Result<()> {
    pollster::block_on(examine(args))
}

async fn examine(args: &DoctorArgs) -> anyhow::Result<()> {
    // The budget is what a model would have; measuring the bandwidth takes its own memory.
    let options = args.common.gpu().memory(None);
    let adapters = Gpu::list(&options).await;
    let (common, stop) = (
        Common {
            gpu_memory: None,
            ..args.common.clone()
        },
        Stop::default(),
    );
    let gpu = load::open_gpu(&common, &stop).await?;
    let rates = gpu.measure_rates().await?;
    let bandwidth = rates.bytes_per_s;
    let source = ModelSource {
        model: args.model.clone(),
        named: None,
        hf: None,
        synthetic: args.synthetic.clone(),
        rope: args.rope,
        yes: args.yes,
    };
    let asked = source.model.is_some() || source.synthetic.is_some();
    let model = if asked {
        Some(load::open(&source, args.common.access(), &stop)?)
    } else {
        None
    };
    let model = match args.quant {
        Some(mix) => model.map(|model| model.as_quantized(&mix.into())),
        None => model,
    };
    let mut out = Output::new();
    let (chosen, caps) = (gpu.summary(), gpu.caps());
    if args.common.json {
        let adapters: Vec<_> = adapters.iter().map(adapter_json).collect();
        return out.json(&json!({
            "adapters": adapters,
            "chosen": chosen.index,
            "bandwidth_bytes_per_s": bandwidth,
            "flops_per_s": rates.flops_per_s,
            "max_binding": caps.max_binding,
            "max_buffer": caps.max_buffer,
            "subgroups": caps.subgroups,
            "model": model.as_ref().map(|m| fit_json(m, args, &gpu)),
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
            if a.features.is_empty() {
                "none".into()
            } else {
                a.features.join(", ")
            }
        ))?;
    }
    out.line(&format!(
        "\nChosen: {chosen}, reads {:.1} GB/s, computes {:.1} GFLOP/s",
        bandwidth / 1e9,
        rates.flops_per_s / 1e9
    ))?;
    if chosen.is_cpu() {
        out.line("  It computes on the CPU. A GPU's own driver is many times as fast.")?;
    }
    for (kernel, variants) in gpu.variants() {
        out.line(&format!("  {kernel}: {variants}"))?;
    }
    if let Some(model) = &model {
        fit_text(model, args, &gpu, bandwidth, &mut out)?;
    }
    Ok(())
}

fn adapter_json(a: &godwit::AdapterSummary) -> serde_json::Value {
    json!({
        "index": a.index, "name": a.name, "driver": a.driver, "backend": a.backend.to_string(),
        "kind": a.kind,
        "max_binding": a.max_binding, "max_buffer": a.max_buffer, "features": a.features,
    })
}

/// Context sizes to speak of: the one asked for, or powers of two up to the model's window.
fn contexts(model: &Model, args: &DoctorArgs, gpu: &Gpu, available: Option<u64>) -> Vec<u32> {
    let window = model.config().context;
    match (args.context, available) {
        (Some(ContextSize::Tokens(context)), _) => return vec![context],
        (Some(ContextSize::Max), Some(bytes)) => {
            return vec![MemoryUse::longest_context(
                model,
                args.kv.format(),
                gpu.caps(),
                bytes,
            )];
        }
        (Some(_), _) => return vec![window],
        (None, _) => {}
    }
    let mut sizes: Vec<u32> = (11..32)
        .map(|bit| 1 << bit)
        .take_while(|&size| size < window)
        .collect();
    sizes.push(window);
    sizes
}

/// Memory that the model may take: what was allowed, or what there is.
fn available(args: &DoctorArgs, gpu: &Gpu) -> Option<u64> {
    args.common.gpu_memory.or_else(|| gpu.available_memory())
}

/// The longest context for each type of KV cache.
fn longest_by_type(model: &Model, gpu: &Gpu, bytes: u64) -> Vec<(KvType, u32)> {
    let format = |kind: KvType| KvFormat {
        k: kind,
        v: kind,
        hadamard: true,
    };
    let each = |kind| {
        (
            kind,
            MemoryUse::longest_context(model, format(kind), gpu.caps(), bytes),
        )
    };
    KvType::ALL.into_iter().map(each).collect()
}

fn fit_json(model: &Model, args: &DoctorArgs, gpu: &Gpu) -> serde_json::Value {
    let kv = args.kv.format();
    let available = available(args, gpu);
    let sizes: Vec<_> = contexts(model, args, gpu, available)
        .into_iter()
        .map(|context| {
            let memory = MemoryUse::estimate(model, context, kv, gpu.caps());
            json!({
                "context": context, "weights": memory.weights, "kv": memory.kv,
                "scratch": memory.scratch,
            })
        })
        .collect();
    let longest: Option<serde_json::Map<_, _>> = available.map(|bytes| {
        longest_by_type(model, gpu, bytes)
            .into_iter()
            .map(|(kind, n)| (kind.to_string(), n.into()))
            .collect()
    });
    json!({
        "name": model.name(), "kv_type": kv.to_string(), "contexts": sizes,
        "available_bytes": available, "longest_context": longest,
    })
}

fn fit_text(
    model: &Model,
    args: &DoctorArgs,
    gpu: &Gpu,
    bandwidth: f64,
    out: &mut Output,
) -> anyhow::Result<()> {
    let (kv, available, window) = (
        args.kv.format(),
        available(args, gpu),
        model.config().context,
    );
    out.line(&format!(
        "\n{}, KV cache {kv}",
        output::shown(&model.name())
    ))?;
    for context in contexts(model, args, gpu, available) {
        let memory = MemoryUse::estimate(model, context, kv, gpu.caps());
        let full = (model.weight_bytes_per_pass(true) + memory.kv) as f64 / bandwidth;
        let verdict = match available {
            _ if context > window => format!("; more than the model's window of {window}"),
            Some(bytes) if memory.total() > bytes => "; does not fit".into(),
            _ => String::new(),
        };
        out.line(&format!(
            "  context {context:>8}: {:>9} (weights {}, KV cache {}, scratch {}), at most {:.1} \
             tokens/s when full{verdict}",
            output::bytes(memory.total()),
            output::bytes(memory.weights),
            output::bytes(memory.kv),
            output::bytes(memory.scratch),
            1.0 / full
        ))?;
    }
    let Some(bytes) = available else {
        return out.line(
            "  What the GPU has left, its driver does not tell; --gpu-memory BYTES shows \
                which context fits.",
        );
    };
    out.line(&format!("Longest context in {}", output::bytes(bytes)))?;
    for (kind, context) in longest_by_type(model, gpu, bytes) {
        let note = if context == window {
            " (the model's window)"
        } else {
            ""
        };
        out.line(&format!("  {kind:>4}: {context}{note}"))?;
    }
    Ok(())
}
