//! The most likely token.

mod cases;
mod reference;

use crate::kernel::{Contents, Cost, Kernel, Step, Variant, read, write};
use crate::params;
use crate::plan::{BufferRef, Dispatch, Plan};

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
    bindings: &[read("logits"), write("token").of(Contents::Integers)],
    overrides: &[],
    variants: &[Variant::base("base", &[])],
    cost,
    extents,
    reference: reference::argmax,
    cases: cases::cases,
};

/// Records `token[0] = argmax(logits)`, or [`NO_TOKEN`](crate::kernels::sample::NO_TOKEN) where
/// that is none.
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

/// Logits are loaded four at a time; a token's id is a word.
fn extents(d: &Dispatch, _: Step) -> Vec<u64> {
    vec![u64::from(d.params::<Params>().vocab).next_multiple_of(4), 1]
}
