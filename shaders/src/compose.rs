//! Puts a kernel's WGSL together: `#import` for shared code and the weight format, `#ifdef` for variants
//! and formats.

use thiserror::Error;

use crate::format::Format;
use crate::kernel::{Kernel, Variant};

/// Who compiles the WGSL. They differ in which `enable` lines they want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// naga, in native wgpu.
    Naga,
    /// A browser.
    Browser,
}

/// Pieces that are shared, or a file of their own for the reader's sake, by the name `#import` takes.
const SHARED: &[(&str, &str)] = &[
    ("step", include_str!("shared/step.wgsl")),
    ("reduce", include_str!("shared/reduce.wgsl")),
    ("group", include_str!("shared/group.wgsl")),
    ("scale_min", include_str!("shared/scale_min.wgsl")),
    ("choice", include_str!("shared/choice.wgsl")),
    ("no_token", include_str!("shared/no_token.wgsl")),
    ("kv", include_str!("shared/kv.wgsl")),
    ("hadamard", include_str!("shared/hadamard.wgsl")),
    ("iq4", include_str!("shared/iq4.wgsl")),
    ("matmul_put", include_str!("matmul/put.wgsl")),
    ("matmul_vector", include_str!("matmul/vector.wgsl")),
    ("matmul_vector_dot", include_str!("matmul/vector_dot.wgsl")),
    ("matmul_rows", include_str!("matmul/rows.wgsl")),
    ("matmul_block", include_str!("matmul/block.wgsl")),
    ("matmul_rows_spread", include_str!("matmul/rows_spread.wgsl")),
    ("matmul_matrix", include_str!("matmul/matrix.wgsl")),
    ("matmul_tile", include_str!("matmul/tile.wgsl")),
    ("rotation", include_str!("rope_append/rotation.wgsl")),
    ("rope_attend_cached", include_str!("rope_attend/cached.wgsl")),
    ("attend_splits", include_str!("attend/splits.wgsl")),
    ("attend_wide", include_str!("attend/wide.wgsl")),
    ("attend_matrix", include_str!("attend/matrix.wgsl")),
    ("attend_parts", include_str!("attend/parts.wgsl")),
    ("attend_decode", include_str!("attend/decode.wgsl")),
    ("attend_states", include_str!("attend/states.wgsl")),
    ("attend_stream", include_str!("attend/stream.wgsl")),
    ("attend_together", include_str!("attend/together.wgsl")),
    ("attend_ahead", include_str!("attend/ahead.wgsl")),
    ("attend_team", include_str!("attend/team.wgsl")),
    ("attend_band", include_str!("attend/band.wgsl")),
    ("attend_block", include_str!("attend/block.wgsl")),
    ("attend_scores", include_str!("attend/scores.wgsl")),
    ("attend_sums", include_str!("attend/sums.wgsl")),
    ("attend_cached", include_str!("attend/cached.wgsl")),
];

/// A kernel source that does not compose.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{kernel}: {fault}")]
pub struct ComposeError {
    /// The kernel.
    pub kernel: &'static str,
    /// What is wrong, and in which line.
    pub fault: String,
}

/// The WGSL of one variant of a kernel.
///
/// # Errors
/// An unknown directive or import, an `#ifdef` without end, a missing format.
pub fn compose(
    kernel: &'static Kernel,
    variant: &Variant,
    format: Option<Format>,
    dialect: Dialect,
) -> Result<String, ComposeError> {
    let mut out = String::new();
    if variant.subgroups && dialect == Dialect::Browser {
        out.push_str("enable subgroups;\n");
    }
    if variant.halves {
        out.push_str("enable f16;\n");
    }
    if variant.matrices {
        out.push_str("enable wgpu_cooperative_matrix;\n");
    }
    let fault = |fault: String| ComposeError { kernel: kernel.name, fault };
    append(kernel.wgsl, variant.defines, format, &mut out).map_err(fault)?;
    Ok(out)
}

fn append(source: &str, defines: &[&str], format: Option<Format>, out: &mut String) -> Result<(), String> {
    // For each open #ifdef, whether its lines are taken.
    let mut open: Vec<bool> = Vec::new();
    for (number, line) in source.lines().enumerate() {
        let at = |what: &str| format!("line {}: {what}: {line}", number + 1);
        let mut words = line.split_whitespace();
        match words.next() {
            Some("#ifdef") => {
                let name = words.next().unwrap_or_default();
                let defined = defines.contains(&name) || format.is_some_and(|format| format.defines().contains(&name));
                open.push(defined);
            }
            Some("#else") => match open.last_mut() {
                Some(taken) => *taken = !*taken,
                None => return Err(at("no #ifdef is open")),
            },
            Some("#endif") => drop(open.pop().ok_or_else(|| at("no #ifdef is open"))?),
            _ if open.contains(&false) => {}
            Some("#import") => {
                let name = words.next().unwrap_or_default();
                let piece = match (name, format) {
                    ("format", Some(format)) => format.wgsl(),
                    ("format", None) => return Err(at("the dispatch has no format")),
                    _ => SHARED.iter().find(|(known, _)| *known == name).ok_or_else(|| at("unknown import"))?.1,
                };
                append(piece, defines, format, out)?;
            }
            Some(word) if word.starts_with('#') => return Err(at("unknown directive")),
            _ => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    if open.is_empty() { Ok(()) } else { Err("an #ifdef has no #endif".into()) }
}
