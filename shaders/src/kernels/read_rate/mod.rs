//! How fast a device reads its memory: the floor of decode.

mod cases;
mod reference;

use crate::capabilities::Capabilities;
use crate::kernel::{Contents, Cost, Kernel, Step, Variant, read, write};
use crate::params;
use crate::plan::{BufferRef, Dispatch, Plan};

params! {
    /// Vectors of four words to read.
    quads: u32,
    /// Invocations that share them.
    lanes: u32,
    /// Padding to 16 bytes.
    reserved0: u32,
    /// Padding.
    reserved1: u32,
}

/// The kernel.
pub static READ_RATE: Kernel = Kernel {
    name: "read_rate",
    summary: "sums all words of a buffer, to time the reading",
    wgsl: include_str!("read_rate.wgsl"),
    weights: false,
    params: Params::FIELDS,
    params_bytes: size_of::<Params>(),
    bindings: &[
        read("data").of(Contents::Integers),
        write("sums").of(Contents::Integers),
    ],
    overrides: &[],
    variants: &[Variant::base("base", &[])],
    cost,
    extents,
    reference: reference::read_rate,
    cases: cases::cases,
};

/// Invocations that a device gets: enough to fill the largest GPU; a CPU walks through memory in
/// few.
pub fn lanes(caps: &Capabilities) -> u32 {
    if caps.cpu { 1 << 13 } else { 1 << 19 }
}

/// Records the reading of `data`, less than 64 GiB. `sums` takes a word for each of [`lanes`].
pub fn read_rate(plan: &mut Plan, caps: &Capabilities, data: BufferRef, sums: BufferRef) {
    let params = Params {
        quads: (data.bytes / 16) as u32,
        lanes: lanes(caps),
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
        workgroups: [params.lanes.div_ceil(256), 1, 1],
    });
}

fn cost(d: &Dispatch, _: Step) -> Cost {
    let p: Params = d.params();
    Cost {
        shape: [p.quads, p.lanes, 0],
        bytes: 16 * u64::from(p.quads) + 4 * u64::from(p.lanes),
        flops: 0,
    }
}

fn extents(d: &Dispatch, _: Step) -> Vec<u64> {
    let p: Params = d.params();
    vec![4 * u64::from(p.quads), p.lanes.into()]
}
