//! Drawing the next token.

mod cases;
mod reference;

pub(crate) use cases::unusual;

use crate::kernel::{Contents, Cost, Kernel, Step, Variant, read, words_of, write};
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

/// How the next token is chosen, as the WGSL struct of the same name.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Choice {
    /// Logits are divided by it; above 0.
    pub temperature: f32,
    /// Only so many of the most likely tokens stay; 0: all.
    pub top_k: u32,
    /// Only the most likely tokens whose probabilities reach this stay.
    pub top_p: f32,
    /// Only tokens at least this fraction as likely as the most likely stay.
    pub min_p: f32,
    /// Random, in `[0, 1)`.
    pub uniform: f32,
    /// Repetition penalty.
    pub repetition: f32,
    /// Presence penalty.
    pub presence: f32,
    /// Frequency penalty.
    pub frequency: f32,
    /// Entries of the adjustments.
    pub entries: u32,
    /// Padding.
    pub reserved: [u32; 3],
}

/// What [`sample`] and [`argmax`](crate::kernels::argmax::argmax) write where no token can be
/// chosen: a logit is NaN or plus infinity, or none is above -3e38. It is beyond every vocabulary,
/// so that [`embed`](crate::kernels::embed::embed) leaves it alone.
pub const NO_TOKEN: u32 = u32::MAX;

/// Whether no token can be chosen from these logits. Minus infinity is an unlikely token, nothing
/// worse: penalties make it.
pub(crate) fn has_no_choice(logits: &[f32]) -> bool {
    logits
        .iter()
        .any(|&logit| logit.is_nan() || logit == f32::INFINITY)
        || logits.iter().all(|&logit| logit <= -3e38)
}

/// The kernel.
pub static SAMPLE: Kernel = Kernel {
    name: "sample",
    summary: "draws a token after temperature, top-k, top-p and min-p",
    wgsl: include_str!("sample.wgsl"),
    weights: false,
    params: Params::FIELDS,
    params_bytes: size_of::<Params>(),
    bindings: &[
        read("choice"),
        read("logits"),
        write("weights"),
        write("token").of(Contents::Integers),
    ],
    overrides: &[],
    variants: &[Variant::base("base", &[])],
    cost,
    extents,
    reference: reference::sample,
    cases: cases::cases,
};

/// Records `token[0] =` a token drawn from `logits` as `choice` says, or [`NO_TOKEN`]. `weights` is
/// scratch of `vocab` floats.
pub fn sample(
    plan: &mut Plan,
    choice: BufferRef,
    logits: BufferRef,
    weights: BufferRef,
    token: BufferRef,
    vocab: u32,
) {
    let params = Params {
        vocab,
        reserved0: 0,
        reserved1: 0,
        reserved2: 0,
    };
    plan.push(Dispatch {
        kernel: &SAMPLE,
        variant: &SAMPLE.variants[0],
        format: None,
        overrides: Vec::new(),
        params: bytemuck::bytes_of(&params).to_vec(),
        buffers: vec![choice, logits, weights, token],
        workgroups: [1, 1, 1],
    });
}

/// Logits are read, weights written and read.
fn cost(d: &Dispatch, _: Step) -> Cost {
    let vocab = d.params::<Params>().vocab;
    Cost {
        shape: [vocab, 0, 0],
        bytes: 12 * u64::from(vocab),
        flops: 0,
    }
}

/// Logits are loaded four at a time; a token's id is a word.
fn extents(d: &Dispatch, _: Step) -> Vec<u64> {
    let logits = u64::from(d.params::<Params>().vocab).next_multiple_of(4);
    vec![words_of::<Choice>(), logits, logits, 1]
}
