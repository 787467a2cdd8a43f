//! The rate of f32 multiply-adds: the limit of prefill for kernels without f16 and matrices.

#[cfg(feature = "testing")]
mod cases;
#[cfg(feature = "testing")]
mod reference;

use crate::buffers::BufferRef;
use crate::capabilities::Capabilities;
use crate::kernel::params;
use crate::kernel::{Cost, Dispatch, Kernel, Step, Variant, write};
use crate::plan::Plan;

params! {
    /// Rounds of eight multiply-adds for each of an invocation's chains.
    rounds: u32,
    /// Invocations.
    invocations: u32,
    /// The factor of each multiply-add.
    factor: f32,
    /// The term of each multiply-add.
    term: f32,
}

/// Independent chains of an invocation, which hide each other's latency.
const CHAINS: u32 = 12;

/// The kernel.
pub static FMA_RATE: Kernel = Kernel {
    name: "fma_rate",
    summary: "repeated multiply-adds, to time the arithmetic",
    wgsl: include_str!("fma_rate.wgsl"),
    weights: false,
    params: Params::FIELDS,
    params_bytes: size_of::<Params>(),
    bindings: &[write("y")],
    overrides: &[],
    variants: &[Variant::base("base", &[])],
    cost,
    extents,
    #[cfg(feature = "testing")]
    reference: reference::fma_rate,
    #[cfg(feature = "testing")]
    cases: cases::cases,
};

/// Number of invocations for a device.
pub fn invocations(caps: &Capabilities) -> u32 {
    if caps.cpu { 1 << 14 } else { 1 << 19 }
}

/// Records enough multiply-adds to time. `y` has a float for each of the [`invocations`].
pub fn fma_rate(plan: &mut Plan, caps: &Capabilities, y: BufferRef) {
    let params = Params {
        rounds: 128,
        invocations: invocations(caps),
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
        workgroups: [params.invocations.div_ceil(256), 1, 1],
    });
}

fn cost(d: &Dispatch, _: Step) -> Cost {
    let p: Params = d.params();
    Cost {
        shape: [p.rounds, p.invocations, 0],
        bytes: 4 * u64::from(p.invocations),
        flops: 2 * 8 * u64::from(CHAINS) * u64::from(p.rounds) * u64::from(p.invocations),
    }
}

fn extents(d: &Dispatch, _: Step) -> Vec<u64> {
    vec![d.params::<Params>().invocations.into()]
}
