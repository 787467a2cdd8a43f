//! `godwit doctor`: the GPUs, what they can do, and whether a model fits.

use godwit::{ContextSize, Error, Gpu, KvFormat, KvType, MemoryUse, Model};
use serde_json::json;

use crate::args::{Common, DoctorArgs, ModelFile, ModelSource};
use crate::exit::DoesNotFit;
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
        file: ModelFile {
            model: args.model.clone(),
            named: None,
            hf: None,
            synthetic: args.synthetic.clone(),
            yes: args.yes,
        },
        rope: args.rope,
    };
    let asked = source.file.model.is_some() || source.file.synthetic.is_some();
    let model = if asked {
        Some(load::open(&source, args.common.access(), &stop)?)
    } else {
        None
    };
    let model = match args.quant {
        Some(mix) => model.map(|model| model.as_quantized(&mix.into())),
        None => model,
    };
    let misfit = match &model {
        Some(model) => misfit(model, args, &gpu),
        None => Ok(()),
    };
    let mut out = Output::new();
    let (chosen, caps) = (gpu.summary(), gpu.caps());
    if args.common.json {
        let adapters: Vec<_> = adapters.iter().map(adapter_json).collect();
        out.json(&json!({
            "adapters": adapters,
            "chosen": chosen.index,
            "bandwidth_bytes_per_s": bandwidth,
            "flops_per_s": rates.flops_per_s,
            "max_binding": caps.max_binding,
            "max_buffer": caps.max_buffer,
            "subgroups": caps.subgroups,
            "model": model.as_ref().map(|m| fit_json(m, args, &gpu)),
            "fits": model.as_ref().map(|_| misfit.is_ok()),
        }))?;
        return misfit;
    }
    out.line("Adapters")?;
    for a in &adapters {
        let mark = if a.index == chosen.index { '*' } else { ' ' };
        out.line(&format!("{mark} {} {a}\n    driver {}", a.index, a.driver))?;
        if args.common.verbose == 0 {
            continue;
        }
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
        "\nChosen: {chosen}, reads {}, computes {}",
        rate(bandwidth, "B/s"),
        rate(rates.flops_per_s, "FLOP/s")
    ))?;
    if chosen.is_cpu() {
        out.line("  It computes on the CPU. A GPU's own driver is many times as fast.")?;
    }
    if args.common.verbose > 0 {
        for (kernel, variants) in gpu.variants() {
            out.line(&format!("  {kernel}: {variants}"))?;
        }
    }
    if let Some(model) = &model {
        fit_text(model, args, &gpu, bandwidth, &mut out)?;
    }
    misfit
}

/// Fails where the context that is asked for does not fit, or, where none is, not even the
/// shortest.
fn misfit(model: &Model, args: &DoctorArgs, gpu: &Gpu) -> anyhow::Result<()> {
    let (available, window) = (available(args, gpu), model.config().context);
    let first = contexts(model, args, gpu, available).first().copied();
    let context = first.unwrap_or(window);
    if context > window {
        let asked = context;
        return Err(Error::Window { asked, window }.into());
    }
    // `--context max` is 0 where no context fits.
    let memory = MemoryUse::estimate(model, context.max(1), args.kv.format(), gpu.caps());
    match available {
        Some(bytes) if memory.total() > bytes => Err(DoesNotFit {
            model: output::shown(&model.name()),
            context,
            needs: needs(memory.total(), bytes),
        }
        .into()),
        _ => Ok(()),
    }
}

/// What is needed and what is there, with as many digits as tell them apart.
fn needs(needed: u64, available: u64) -> String {
    let (needed_text, text) = (output::bytes(needed), output::bytes(available));
    let number = |text: &str| text.split(' ').next().unwrap_or_default().to_owned();
    let unit = |text: &str| text.split(' ').nth(1).unwrap_or_default().to_owned();
    if needed_text == text && needed != available {
        return format!("needs {needed} bytes, {available} are there");
    }
    if unit(&needed_text) == unit(&text) {
        return format!("needs {needed_text}, {} are there", number(&text));
    }
    format!("needs {needed_text}, {text} are there")
}

/// A rate with three digits, such as `4.32 TB/s`.
fn rate(value: f64, unit: &str) -> String {
    let prefixes = ["", "k", "M", "G", "T", "P"];
    let (mut value, mut at) = (value, 0);
    while value >= 999.5 && at + 1 < prefixes.len() {
        value /= 1000.0;
        at += 1;
    }
    format!("{} {}{unit}", digits(value), prefixes[at])
}

/// A number with three digits, as far as it has them before the point.
fn digits(value: f64) -> String {
    match value {
        value if value < 9.995 => format!("{value:.2}"),
        value if value < 99.95 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
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
            Some(bytes) if memory.total() > bytes => {
                format!("; does not fit: {}", needs(memory.total(), bytes))
            }
            Some(_) => "; fits".into(),
            None => String::new(),
        };
        out.line(&format!(
            "  context {context:>8}: {:>9} (weights {}, KV cache {}, scratch {}), at most {} \
             tokens/s when full{verdict}",
            output::bytes(memory.total()),
            output::bytes(memory.weights),
            output::bytes(memory.kv),
            output::bytes(memory.scratch),
            digits(1.0 / full)
        ))?;
    }
    let Some(bytes) = available else {
        return out.line(
            "  The driver does not report free GPU memory. --gpu-memory BYTES shows which context \
             fits.",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_useful_digits() {
        assert_eq!(rate(4.3214e12, "B/s"), "4.32 TB/s");
        assert_eq!(rate(19.96e9, "B/s"), "20.0 GB/s");
        assert_eq!(rate(64.7234e12, "FLOP/s"), "64.7 TFLOP/s");
        assert_eq!(rate(999.7e9, "B/s"), "1.00 TB/s");
        assert_eq!([0.012, 9.996, 348.4].map(digits), ["0.01", "10.0", "348"]);
    }

    #[test]
    fn amounts_are_told_apart() {
        let gib = |x: f64| (x * f64::from(1 << 30)) as u64;
        assert_eq!(
            needs(gib(22.6), gib(22.1)),
            "needs 22.6 GiB, 22.1 are there"
        );
        assert_eq!(
            needs(gib(1.5), 900 << 20),
            "needs 1.5 GiB, 900.0 MiB are there"
        );
        assert_eq!(
            needs(gib(1.0) + 1, gib(1.0)),
            "needs 1073741825 bytes, 1073741824 are there"
        );
    }
}
