//! SwiGLU (Shazeer 2020) of projections that have biases. Where they have none, [`crate::matmul`]
//! applies it as it stores.

mod cases;
mod reference;

use crate::kernel::{Cost, Kernel, Step, Variant, read, write};
use crate::kernels::add_bias::COLUMNS;
use crate::params;
use crate::plan::{BufferRef, Dispatch, Plan};

params! {
    /// Length of a vector.
    width: u32,
    /// Padding to 16 bytes.
    reserved0: u32,
    /// Padding.
    reserved1: u32,
    /// Padding.
    reserved2: u32,
}

/// The kernel.
pub static SWIGLU: Kernel = Kernel {
    name: "swiglu",
    summary: "gate = silu(gate + gate_bias) * (up + up_bias)",
    wgsl: include_str!("swiglu.wgsl"),
    weights: false,
    params: Params::FIELDS,
    params_bytes: size_of::<Params>(),
    bindings: &[
        read("up"),
        read("gate_bias"),
        read("up_bias"),
        write("gate"),
    ],
    overrides: &[],
    variants: &[Variant::base("base", &[])],
    cost,
    extents,
    reference: reference::swiglu,
    cases: cases::cases,
};

/// The biases of the two projections, `[width]` floats each.
#[derive(Clone, Copy, Debug)]
pub struct GateBiases {
    /// Of the gate projection.
    pub gate: BufferRef,
    /// Of the up projection.
    pub up: BufferRef,
}

/// Records `gate[t] = silu(gate[t] + biases.gate) * (up[t] + biases.up)` for all tokens of the
/// step, `chunk` at most: `gate` and `up` are `[tokens, width]`, `width` is a multiple of 4.
pub fn swiglu(
    plan: &mut Plan,
    biases: GateBiases,
    up: BufferRef,
    gate: BufferRef,
    width: u32,
    chunk: u32,
) {
    let params = Params {
        width,
        reserved0: 0,
        reserved1: 0,
        reserved2: 0,
    };
    plan.push(Dispatch {
        kernel: &SWIGLU,
        variant: &SWIGLU.variants[0],
        format: None,
        overrides: Vec::new(),
        params: bytemuck::bytes_of(&params).to_vec(),
        buffers: vec![up, biases.gate, biases.up, gate],
        workgroups: [width.div_ceil(COLUMNS), chunk, 1],
    });
}

fn cost(d: &Dispatch, step: Step) -> Cost {
    let p: Params = d.params();
    let floats = u64::from(p.width) * u64::from(step.count);
    Cost {
        shape: [p.width, step.count, 0],
        bytes: 4 * (3 * floats + 2 * u64::from(p.width)),
        flops: 7 * floats,
    }
}

fn extents(d: &Dispatch, step: Step) -> Vec<u64> {
    let width = u64::from(d.params::<Params>().width);
    let floats = u64::from(step.count.min(d.workgroups[1])) * width;
    vec![floats, width, width, floats]
}
