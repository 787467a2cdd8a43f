//! Penalties and biases on the logits of some tokens.

#[cfg(feature = "testing")]
mod cases;
#[cfg(feature = "testing")]
mod reference;

use crate::buffers::BufferRef;
use crate::kernel::params;
use crate::kernel::{Cost, Dispatch, Kernel, Step, Variant, read, words_of, write};
use crate::kernels::sample::Choice;
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

/// A change to one token's logit, in the layout of the WGSL struct of the same name. A token has at
/// most one.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Adjustment {
    /// The token.
    pub token: u32,
    /// Times that the token was seen; 0: no penalties.
    pub seen: u32,
    /// Added to the logit; finite. [`FORBID`] stands for minus infinity.
    pub bias: f32,
    /// Padding.
    pub reserved: u32,
}

/// The bias that forbids a token. WGSL does not guarantee that infinities work.
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
    #[cfg(feature = "testing")]
    reference: reference::adjust,
    #[cfg(feature = "testing")]
    cases: cases::cases,
};

/// Records the adjustments of `logits`: as many as [`Choice::entries`], at most `vocab`.
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

/// The host does not know the number of adjustments: only reading that number counts.
fn cost(d: &Dispatch, _: Step) -> Cost {
    Cost {
        shape: [d.params::<Params>().vocab, 0, 0],
        bytes: size_of::<Choice>() as u64,
        flops: 0,
    }
}

/// The host does not know the number of adjustments: there may be one for each token.
fn extents(d: &Dispatch, _: Step) -> Vec<u64> {
    let vocab = u64::from(d.params::<Params>().vocab);
    vec![
        words_of::<Choice>(),
        vocab * words_of::<Adjustment>(),
        vocab,
    ]
}
