//! How fast a device multiplies and adds 32-bit floats: the floor of prefill, for kernels that use
//! nothing better.

mod cases;
mod reference;

use crate::capabilities::Capabilities;
use crate::kernel::{Cost, Kernel, Step, Variant, write};
use crate::params;
use crate::plan::{BufferRef, Dispatch, Plan};

params! {
    /// Rounds of eight multiply-adds for each of an invocation's chains.
    rounds: u32,
    /// Invocations.
    lanes: u32,
    /// What is multiplied by.
    factor: f32,
    /// What is added.
    term: f32,
}

/// Independent chains of an invocation, so that one does not wait for the other.
const CHAINS: u32 = 12;

/// The kernel.
pub static FMA_RATE: Kernel = Kernel {
    name: "fma_rate",
    summary: "multiplies and adds over and over, to time the arithmetic",
    wgsl: include_str!("fma_rate.wgsl"),
    weights: false,
    params: Params::FIELDS,
    params_bytes: size_of::<Params>(),
    bindings: &[write("y")],
    overrides: &[],
    variants: &[Variant::base("base", &[])],
    cost,
    extents,
    reference: reference::fma_rate,
    cases: cases::cases,
};

/// Invocations that a device gets.
pub fn lanes(caps: &Capabilities) -> u32 {
    if caps.cpu { 1 << 14 } else { 1 << 19 }
}

/// Records multiply-adds that take a moment; `y` takes a float for each of [`lanes`].
pub fn fma_rate(plan: &mut Plan, caps: &Capabilities, y: BufferRef) {
    let params = Params {
        rounds: 128,
        lanes: lanes(caps),
        factor: 0.75,
        term: 1.5,
    };
    plan.push(Dispatch {
        kernel: &FMA_RATE,
        variant: &FMA_RATE.variants[0],
        format: None,
        overrides: Vec::new(),
        params: bytemuck::bytes_of(&params).to_vec(),
        buffers: vec![y],
        workgroups: [params.lanes.div_ceil(256), 1, 1],
    });
}

fn cost(d: &Dispatch, _: Step) -> Cost {
    let p: Params = d.params();
    Cost {
        shape: [p.rounds, p.lanes, 0],
        bytes: 4 * u64::from(p.lanes),
        flops: 2 * 8 * u64::from(CHAINS) * u64::from(p.rounds) * u64::from(p.lanes),
    }
}

fn extents(d: &Dispatch, _: Step) -> Vec<u64> {
    vec![d.params::<Params>().lanes.into()]
}
