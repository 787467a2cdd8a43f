//! Penalties and biases on logits.

mod cases;
mod reference;

use crate::kernel::{Cost, Kernel, Step, Variant, read, words_of, write};
use crate::kernels::sample::Choice;
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

/// What changes a token's logit, as the WGSL struct of the same name. One for each token at most.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Adjustment {
    /// The token.
    pub token: u32,
    /// How often it was seen: 0 keeps the penalties off.
    pub seen: u32,
    /// Added to the logit, finite: [`FORBID`] stands for minus infinity.
    pub bias: f32,
    /// Padding.
    pub reserved: u32,
}

/// A bias that no logit comes back from. WGSL does not promise that infinities work.
pub const FORBID: f32 = -1e30;

/// The kernel.
pub static ADJUST: Kernel = Kernel {
    name: "adjust",
    summary: "penalties and biases on the logits of some tokens",
    wgsl: include_str!("adjust.wgsl"),
    weights: false,
    params: Params::FIELDS,
    params_bytes: size_of::<Params>(),
    bindings: &[read("choice"), read("adjustments"), write("logits")],
    overrides: &[],
    variants: &[Variant::base("base", &[])],
    cost,
    extents,
    reference: reference::adjust,
    cases: cases::cases,
};

/// Records the adjustments of `logits` that `choice` counts, `vocab` at most.
pub fn adjust(
    plan: &mut Plan,
    choice: BufferRef,
    adjustments: BufferRef,
    logits: BufferRef,
    vocab: u32,
) {
    let params = Params {
        vocab,
        reserved0: 0,
        reserved1: 0,
        reserved2: 0,
    };
    plan.push(Dispatch {
        kernel: &ADJUST,
        variant: &ADJUST.variants[0],
        format: None,
        overrides: Vec::new(),
        params: bytemuck::bytes_of(&params).to_vec(),
        buffers: vec![choice, adjustments, logits],
        workgroups: [vocab.div_ceil(64), 1, 1],
    });
}

/// How many logits change is not known here: only the reading of that number counts.
fn cost(d: &Dispatch, _: Step) -> Cost {
    Cost {
        shape: [d.params::<Params>().vocab, 0, 0],
        bytes: size_of::<Choice>() as u64,
        flops: 0,
    }
}

/// How many adjustments there are is not known here: as many as invocations.
fn extents(d: &Dispatch, _: Step) -> Vec<u64> {
    let vocab = u64::from(d.params::<Params>().vocab);
    vec![
        words_of::<Choice>(),
        vocab * words_of::<Adjustment>(),
        vocab,
    ]
}
