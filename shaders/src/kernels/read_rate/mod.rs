//! The rate of memory reads: the limit of decode.

#[cfg(feature = "testing")]
mod cases;
#[cfg(feature = "testing")]
mod reference;

use crate::buffers::BufferRef;
use crate::capabilities::Capabilities;
use crate::kernel::params;
use crate::kernel::{Cost, Dispatch, Kernel, Step, Variant, read, write};
use crate::plan::Plan;

params! {
    /// Vectors of four words to read.
    vec4s: u32,
    /// Invocations that share the vectors.
    invocations: u32,
    /// Padding to 16 bytes.
    reserved0: u32,
    /// Padding.
    reserved1: u32,
}

/// The kernel.
pub static READ_RATE: Kernel = Kernel {
    name: "read_rate",
    summary: "sum of all words of a buffer, to time the reads",
    wgsl: include_str!("read_rate.wgsl"),
    weights: false,
    params: Params::FIELDS,
    params_bytes: size_of::<Params>(),
    bindings: &[read("data").of_integers(), write("sums").of_integers()],
    overrides: &[],
    variants: &[Variant::base("base", &[])],
    cost,
    extents,
    #[cfg(feature = "testing")]
    reference: reference::read_rate,
    #[cfg(feature = "testing")]
    cases: cases::cases,
};

/// Number of invocations for a device: enough to fill the largest GPU, few on a CPU.
pub fn invocations(caps: &Capabilities) -> u32 {
    if caps.cpu { 1 << 13 } else { 1 << 19 }
}

/// Records a read of `data`, less than 64 GiB. `sums` has a word for each of the [`invocations`].
pub fn read_rate(plan: &mut Plan, caps: &Capabilities, data: BufferRef, sums: BufferRef) {
    let params = Params {
        vec4s: (data.bytes / 16) as u32,
        invocations: invocations(caps),
        reserved0: 0,
        reserved1: 0,
    };
    plan.push(Dispatch {
        kernel: &READ_RATE,
        variant: &READ_RATE.variants[0],
        format: None,
        overrides: Vec::new(),
        params: bytemuck::bytes_of(&params).to_vec(),
        buffers: vec![data, sums],
        workgroups: [params.invocations.div_ceil(256), 1, 1],
    });
}

fn cost(d: &Dispatch, _: Step) -> Cost {
    let p: Params = d.params();
    Cost {
        shape: [p.vec4s, p.invocations, 0],
        bytes: 16 * u64::from(p.vec4s) + 4 * u64::from(p.invocations),
        flops: 0,
    }
}

fn extents(d: &Dispatch, _: Step) -> Vec<u64> {
    let p: Params = d.params();
    vec![4 * u64::from(p.vec4s), p.invocations.into()]
}
