//! The token with the largest logit.

#[cfg(feature = "testing")]
mod cases;
#[cfg(feature = "testing")]
mod reference;

use crate::buffers::BufferRef;
use crate::kernel::params;
use crate::kernel::{Cost, Dispatch, Kernel, Step, Variant, read, write};
use crate::plan::Plan;

params! {
    /// Number of logits.
    vocab: u32,
    /// Padding to 16 bytes.
    reserved0: u32,
    /// Padding.
    reserved1: u32,
    /// Padding.
    reserved2: u32,
}

/// The kernel.
pub static ARGMAX: Kernel = Kernel {
    name: "argmax",
    summary: "the index of the largest logit",
    wgsl: include_str!("argmax.wgsl"),
    weights: false,
    params: Params::FIELDS,
    params_bytes: size_of::<Params>(),
    bindings: &[read("logits"), write("token").of_integers()],
    overrides: &[],
    variants: &[Variant::base("base", &[])],
    cost,
    extents,
    #[cfg(feature = "testing")]
    reference: reference::argmax,
    #[cfg(feature = "testing")]
    cases: cases::cases,
};

/// Records `token[0] = argmax(logits)`, or [`NO_TOKEN`](crate::kernels::sample::NO_TOKEN).
pub fn argmax(plan: &mut Plan, logits: BufferRef, token: BufferRef, vocab: u32) {
    let params = Params {
        vocab,
        reserved0: 0,
        reserved1: 0,
        reserved2: 0,
    };
    plan.push(Dispatch {
        kernel: &ARGMAX,
        variant: &ARGMAX.variants[0],
        format: None,
        overrides: Vec::new(),
        params: bytemuck::bytes_of(&params).to_vec(),
        buffers: vec![logits, token],
        workgroups: [1, 1, 1],
    });
}

fn cost(d: &Dispatch, _: Step) -> Cost {
    let vocab = d.params::<Params>().vocab;
    Cost {
        shape: [vocab, 0, 0],
        bytes: 4 * u64::from(vocab),
        flops: 0,
    }
}

/// The kernel loads logits four at a time.
fn extents(d: &Dispatch, _: Step) -> Vec<u64> {
    vec![u64::from(d.params::<Params>().vocab).next_multiple_of(4), 1]
}
