//! Root mean square normalisation (Zhang and Sennrich 2019).

mod cases;
mod reference;

use crate::capabilities::Capabilities;
use crate::kernel::{Cost, Kernel, Step, Variant, read, write};
use crate::params;
use crate::plan::{BufferRef, Dispatch, Plan};

params! {
    /// Length of a vector.
    width: u32,
    /// Added to the mean square.
    eps: f32,
    /// 1: only the step's last token, into the first row of `y`.
    last: u32,
    /// Padding.
    reserved: u32,
}

/// The kernel.
pub static RMS_NORM: Kernel = Kernel {
    name: "rms_norm",
    summary: "y = x / sqrt(mean(x^2) + eps) * weight",
    wgsl: include_str!("rms_norm.wgsl"),
    weights: false,
    params: Params::FIELDS,
    params_bytes: size_of::<Params>(),
    bindings: &[read("x"), read("weight"), write("y")],
    overrides: &[],
    variants: &[Variant::base("base", &[]), Variant::base("cpu", &["CPU"])],
    cost,
    extents,
    reference: reference::rms_norm,
    cases: cases::cases,
};

/// Tokens of a workgroup of each variant.
const TOKENS: [u32; 2] = [1, 8];

/// A normalisation's weight vector.
#[derive(Clone, Copy, Debug)]
pub struct Norm {
    /// `[width]` floats.
    pub weight: BufferRef,
    /// Length of a vector.
    pub width: u32,
    /// Added to the mean square.
    pub eps: f32,
}

/// Records `y[t] = norm(x[t])` for all tokens of the step, `chunk` at most.
pub fn rms_norm(
    plan: &mut Plan,
    caps: &Capabilities,
    norm: &Norm,
    x: BufferRef,
    y: BufferRef,
    chunk: u32,
) {
    record(plan, caps, norm, x, y, chunk, false);
}

/// Records `y[0] = norm(x[last])` for the last token of the step.
pub fn rms_norm_last(
    plan: &mut Plan,
    caps: &Capabilities,
    norm: &Norm,
    x: BufferRef,
    y: BufferRef,
) {
    record(plan, caps, norm, x, y, 1, true);
}

fn record(
    plan: &mut Plan,
    caps: &Capabilities,
    norm: &Norm,
    x: BufferRef,
    y: BufferRef,
    chunk: u32,
    last: bool,
) {
    let variant = usize::from(caps.cpu);
    let params = Params {
        width: norm.width,
        eps: norm.eps,
        last: last.into(),
        reserved: 0,
    };
    plan.push(Dispatch {
        kernel: &RMS_NORM,
        variant: &RMS_NORM.variants[variant],
        format: None,
        overrides: Vec::new(),
        params: bytemuck::bytes_of(&params).to_vec(),
        buffers: vec![x, norm.weight, y],
        workgroups: [chunk.div_ceil(TOKENS[variant]), 1, 1],
    });
}

fn cost(d: &Dispatch, step: Step) -> Cost {
    let p: Params = d.params();
    let tokens = if p.last == 1 { 1 } else { step.count };
    let (width, floats) = (u64::from(p.width), u64::from(p.width) * u64::from(tokens));
    Cost {
        shape: [p.width, tokens, 0],
        bytes: 4 * (2 * floats + width),
        flops: 4 * floats,
    }
}

fn extents(d: &Dispatch, step: Step) -> Vec<u64> {
    let p: Params = d.params();
    let width = u64::from(p.width);
    let most = d.workgroups[0]
        * if d.variant.is_for_cpus() {
            TOKENS[1]
        } else {
            TOKENS[0]
        };
    match p.last {
        1 => vec![u64::from(step.count) * width, width, width],
        _ => {
            let floats = u64::from(step.count.min(most)) * width;
            vec![floats, width, floats]
        }
    }
}
