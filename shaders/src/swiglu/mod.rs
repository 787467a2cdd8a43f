//! The gated activation of the feed-forward layer (Shazeer 2020).

mod cases;
mod reference;

use crate::kernel::{Kernel, Step, Variant, Work, read, write};
use crate::params;
use crate::plan::{BufferRef, Dispatch, Plan};

params! {
    /// Length of a token's vector, in vectors of four.
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
    summary: "gate = silu(gate) * up",
    wgsl: include_str!("swiglu.wgsl"),
    weights: false,
    params: Params::FIELDS,
    params_bytes: size_of::<Params>(),
    bindings: &[read("up"), write("gate")],
    overrides: &[],
    variants: &[Variant::base("base", &[])],
    work,
    reference: reference::swiglu,
    cases: cases::cases,
};

/// Records `gate = silu(gate) * up` for `[tokens, width]`, in place; `width` is a multiple of 4.
pub fn swiglu(plan: &mut Plan, up: BufferRef, gate: BufferRef, width: u32, capacity: u32) {
    let params = Params { width: width / 4, reserved0: 0, reserved1: 0, reserved2: 0 };
    plan.push(Dispatch {
        kernel: &SWIGLU,
        variant: &SWIGLU.variants[0],
        format: None,
        overrides: Vec::new(),
        params: bytemuck::bytes_of(&params).to_vec(),
        buffers: vec![up, gate],
        workgroups: [params.width.div_ceil(64), capacity, 1],
    });
}

fn work(d: &Dispatch, step: Step) -> Work {
    let width = 4 * d.params::<Params>().width;
    let floats = u64::from(width) * u64::from(step.count);
    Work { shape: [width, step.count, 0], bytes: 12 * floats, flops: 5 * floats }
}
