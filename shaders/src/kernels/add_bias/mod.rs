//! Biases of projections: a vector that is added to each token's matmul output.

#[cfg(feature = "testing")]
mod cases;
#[cfg(feature = "testing")]
mod reference;

use crate::buffers::BufferRef;
use crate::kernel::params;
use crate::kernel::{Cost, Dispatch, Kernel, Step, Variant, read, write};
use crate::plan::Plan;

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
pub static ADD_BIAS: Kernel = Kernel {
    name: "add_bias",
    summary: "y += bias",
    wgsl: include_str!("add_bias.wgsl"),
    weights: false,
    params: Params::FIELDS,
    params_bytes: size_of::<Params>(),
    bindings: &[read("bias"), write("y")],
    overrides: &[],
    variants: &[Variant::base("base", &[])],
    cost,
    extents,
    #[cfg(feature = "testing")]
    reference: reference::add_bias,
    #[cfg(feature = "testing")]
    cases: cases::cases,
};

/// Columns that a workgroup adds.
pub(crate) const COLUMNS_PER_WORKGROUP: u32 = 256;

/// Records `y[t] += bias` for all tokens of the step, at most `chunk`.
///
/// `bias` is `[width]`, `y` is `[tokens, width]`, and `width` is a multiple of 4.
pub fn add_bias(plan: &mut Plan, bias: BufferRef, y: BufferRef, width: u32, chunk: u32) {
    let params = Params {
        width,
        reserved0: 0,
        reserved1: 0,
        reserved2: 0,
    };
    plan.push(Dispatch {
        kernel: &ADD_BIAS,
        variant: &ADD_BIAS.variants[0],
        format: None,
        overrides: Vec::new(),
        params: bytemuck::bytes_of(&params).to_vec(),
        buffers: vec![bias, y],
        workgroups: [width.div_ceil(COLUMNS_PER_WORKGROUP), chunk, 1],
    });
}

fn cost(d: &Dispatch, step: Step) -> Cost {
    let p: Params = d.params();
    let floats = u64::from(p.width) * u64::from(step.count);
    Cost {
        shape: [p.width, step.count, 0],
        bytes: 4 * (2 * floats + u64::from(p.width)),
        flops: floats,
    }
}

fn extents(d: &Dispatch, step: Step) -> Vec<u64> {
    let width = u64::from(d.params::<Params>().width);
    vec![width, u64::from(step.count.min(d.workgroups[1])) * width]
}
