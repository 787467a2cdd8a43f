//! SwiGLU (Shazeer 2020) of projections with biases. Without biases, the epilogue of
//! [`matmul`](crate::kernels::matmul) computes it.

#[cfg(feature = "testing")]
mod cases;
#[cfg(feature = "testing")]
mod reference;

use crate::buffers::BufferRef;
use crate::kernel::params;
use crate::kernel::{Cost, Dispatch, Kernel, Step, Variant, read, write};
use crate::kernels::add_bias::COLUMNS_PER_WORKGROUP;
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
    #[cfg(feature = "testing")]
    reference: reference::swiglu,
    #[cfg(feature = "testing")]
    cases: cases::cases,
};

/// The biases of the two projections, `[width]` floats each.
#[derive(Clone, Copy, Debug)]
pub struct GateBiases {
    /// The gate projection's.
    pub gate: BufferRef,
    /// The up projection's.
    pub up: BufferRef,
}

/// `gate[t] = silu(gate[t] + biases.gate) * (up[t] + biases.up)`, for all tokens of the step.
#[derive(Clone, Copy, Debug)]
pub struct SwiGlu {
    /// The biases of both projections.
    pub biases: GateBiases,
    /// `[tokens, width]`.
    pub up: BufferRef,
    /// `[tokens, width]`, replaced by the result.
    pub gate: BufferRef,
    /// Length of a vector, a multiple of 4.
    pub width: u32,
    /// The most tokens that the plan is replayed with.
    pub chunk: u32,
}

impl SwiGlu {
    /// Appends the dispatch to the plan.
    pub fn record(&self, plan: &mut Plan) {
        let Self {
            biases,
            up,
            gate,
            width,
            chunk,
        } = *self;
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
            workgroups: [width.div_ceil(COLUMNS_PER_WORKGROUP), chunk, 1],
        });
    }
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
