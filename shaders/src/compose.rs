//! Composes a kernel's WGSL: `#import` for shared code and the weight format, `#ifdef` for variants
//! and formats.

use thiserror::Error;

use crate::kernel::{Kernel, Variant};
use crate::weights::WeightFormat;

/// The compiler of the WGSL. Compilers differ in the `enable` lines that they need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// naga, in native wgpu.
    Naga,
    /// A browser.
    Browser,
}

/// Lists WGSL files by their path from `src`, each with its text.
macro_rules! files {
    ($($path:literal),* $(,)?) => { &[$(($path, include_str!($path))),*] };
}

/// The files that `#import` can name.
const IMPORTS: &[(&str, &str)] = files![
    "kernels/attention/cpu/combine.wgsl",
    "kernels/attention/cpu/cpu.wgsl",
    "kernels/attention/cpu/rows1.wgsl",
    "kernels/attention/cpu/rows4.wgsl",
    "kernels/attention/cpu/scores.wgsl",
    "kernels/attention/cpu/values.wgsl",
    "kernels/attention/decode/attend.wgsl",
    "kernels/attention/decode/combine.wgsl",
    "kernels/attention/decode/decode.wgsl",
    "kernels/attention/decode/keys.wgsl",
    "kernels/attention/decode/partials.wgsl",
    "kernels/attention/decode/scratch.wgsl",
    "kernels/attention/decode/subgroup.wgsl",
    "kernels/attention/decode/subgroup_slots.wgsl",
    "kernels/attention/decode/values.wgsl",
    "kernels/attention/kv_splits.wgsl",
    "kernels/attention/load_kv.wgsl",
    "kernels/attention/paged/paged.wgsl",
    "kernels/attention/prefill/prefill.wgsl",
    "kernels/attention/prefill/row_group.wgsl",
    "kernels/attention/prefill_coop/add_values.wgsl",
    "kernels/attention/prefill_coop/load_f16.wgsl",
    "kernels/attention/prefill_coop/load_queries.wgsl",
    "kernels/attention/prefill_coop/matrices.wgsl",
    "kernels/attention/prefill_coop/prefill_coop.wgsl",
    "kernels/attention/prefill_coop/rescale_acc.wgsl",
    "kernels/attention/prefill_coop/score_keys.wgsl",
    "kernels/attention/prefill_coop/store_partials.wgsl",
    "kernels/attention/slots.wgsl",
    "kernels/matmul/codes_in_place.wgsl",
    "kernels/matmul/cpu_few_rows.wgsl",
    "kernels/matmul/cpu_few_rows_subgroup.wgsl",
    "kernels/matmul/cpu_gemm.wgsl",
    "kernels/matmul/cpu_gemv.wgsl",
    "kernels/matmul/cpu_gemv_subgroup.wgsl",
    "kernels/matmul/dot.wgsl",
    "kernels/matmul/epilogue.wgsl",
    "kernels/matmul/few_rows.wgsl",
    "kernels/matmul/gemm.wgsl",
    "kernels/matmul/gemm_coop.wgsl",
    "kernels/matmul/gemm_stage.wgsl",
    "kernels/matmul/gemm_sums.wgsl",
    "kernels/matmul/gemv.wgsl",
    "kernels/matmul/gemv_dp4a.wgsl",
    "kernels/rope_append/rotation.wgsl",
    "kernels/rope_attention/append.wgsl",
    "kernels/rope_attention/lane_hadamard.wgsl",
    "kernels/shared/batch.wgsl",
    "kernels/shared/choice.wgsl",
    "kernels/shared/logits.wgsl",
    "kernels/shared/no_token.wgsl",
    "kernels/shared/reduce.wgsl",
    "kernels/shared/step.wgsl",
    "kv/hadamard.wgsl",
    "kv/kv.wgsl",
    "weights/wgsl/group.wgsl",
    "weights/wgsl/iq4.wgsl",
    "weights/wgsl/scale_min.wgsl",
];

/// A kernel source that does not compose.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{kernel}: {cause}")]
pub struct ComposeError {
    /// The kernel.
    pub kernel: &'static str,
    /// The error and its line.
    pub cause: String,
}

/// The WGSL of one variant of a kernel.
///
/// # Errors
/// An unknown directive or import, an `#ifdef` without end, a missing weight format.
pub fn compose(
    kernel: &'static Kernel,
    variant: &Variant,
    format: Option<WeightFormat>,
    dialect: Dialect,
) -> Result<String, ComposeError> {
    let mut out = String::new();
    if variant.subgroups && dialect == Dialect::Browser {
        out.push_str("enable subgroups;\n");
    }
    if variant.shader_f16 {
        out.push_str("enable f16;\n");
    }
    if variant.cooperative_matrix {
        out.push_str("enable wgpu_cooperative_matrix;\n");
    }
    append(kernel.wgsl, variant.defines, format, &mut out).map_err(|cause| ComposeError {
        kernel: kernel.name,
        cause,
    })?;
    Ok(out)
}

/// Appends a source and its imports to `out`.
fn append(
    source: &str,
    defines: &[&str],
    format: Option<WeightFormat>,
    out: &mut String,
) -> Result<(), String> {
    let is_defined = |name: &str| {
        defines.contains(&name) || format.is_some_and(|format| format.defines().contains(&name))
    };
    // For each open #ifdef, whether its current branch is taken.
    let mut open: Vec<bool> = Vec::new();
    for (number, line) in source.lines().enumerate() {
        let error = |cause: &str| format!("line {}: {cause}: {line}", number + 1);
        let mut words = line.split_whitespace();
        match words.next() {
            Some("#ifdef") => open.push(is_defined(words.next().unwrap_or_default())),
            Some("#else") => match open.last_mut() {
                Some(is_taken) => *is_taken = !*is_taken,
                None => return Err(error("no #ifdef is open")),
            },
            Some("#endif") => drop(open.pop().ok_or_else(|| error("no #ifdef is open"))?),
            _ if open.contains(&false) => {}
            Some("#import") => {
                let name = words.next().unwrap_or_default();
                let imported = match (name, format) {
                    ("weight_format", Some(format)) => format.wgsl(),
                    ("weight_format", None) => return Err(error("the dispatch has no format")),
                    _ => {
                        let file = IMPORTS.iter().find(|(path, _)| *path == name);
                        file.ok_or_else(|| error("unknown import"))?.1
                    }
                };
                append(imported, defines, format, out)?;
            }
            Some(word) if word.starts_with('#') => return Err(error("unknown directive")),
            _ => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    if open.is_empty() {
        Ok(())
    } else {
        Err("an #ifdef has no #endif".into())
    }
}
