//! Drawing the next token from the logits.

#[cfg(feature = "testing")]
mod cases;
#[cfg(feature = "testing")]
mod reference;

#[cfg(feature = "testing")]
pub(crate) use cases::unusual;

use crate::buffers::BufferRef;
use crate::kernel::params;
use crate::kernel::{Cost, Dispatch, Kernel, Step, Variant, read, words_of, write};
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

/// How the next token is chosen, in the layout of the WGSL struct of the same name.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Choice {
    /// Divides the logits; above 0.
    pub temperature: f32,
    /// Number of most likely tokens to keep; 0: all.
    pub top_k: u32,
    /// Keeps the most likely tokens whose probabilities add up to this.
    pub top_p: f32,
    /// Keeps tokens that are at least this fraction as likely as the most likely one.
    pub min_p: f32,
    /// A random number in `[0, 1)`.
    pub uniform: f32,
    /// Repetition penalty.
    pub repetition: f32,
    /// Presence penalty.
    pub presence: f32,
    /// Frequency penalty.
    pub frequency: f32,
    /// Number of adjustments: see [`adjust`](crate::kernels::adjust).
    pub entries: u32,
    /// Padding.
    pub reserved: [u32; 3],
}

/// The token id that [`Sample`] and [`argmax`](crate::kernels::argmax::argmax) write where no token
/// can be chosen: a logit is NaN or plus infinity, or no logit is above -3e38.
///
/// The id is beyond every vocabulary, so that [`embed`](crate::kernels::embed::embed) ignores it.
pub const NO_TOKEN: u32 = u32::MAX;

/// Whether no token can be chosen from these logits. Minus infinity is permitted: penalties produce
/// it.
#[cfg(feature = "testing")]
pub(crate) fn has_no_choice(logits: &[f32]) -> bool {
    let is_broken = |logit: &f32| logit.is_nan() || *logit == f32::INFINITY;
    logits.iter().any(is_broken) || logits.iter().all(|&logit| logit <= -3e38)
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
        write("token").of_integers(),
    ],
    overrides: &[],
    variants: &[Variant::base("base", &[])],
    cost,
    extents,
    #[cfg(feature = "testing")]
    reference: reference::sample,
    #[cfg(feature = "testing")]
    cases: cases::cases,
};

/// `token[0] =` a token drawn from `logits` as `choice` says, or [`NO_TOKEN`].
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// A [`Choice`].
    pub choice: BufferRef,
    /// `[vocab]`.
    pub logits: BufferRef,
    /// Scratch for the unnormalised probabilities, `[vocab]`.
    pub weights: BufferRef,
    /// The result, one word.
    pub token: BufferRef,
    /// Number of logits.
    pub vocab: u32,
}

impl Sample {
    /// Appends the dispatch to the plan.
    pub fn record(&self, plan: &mut Plan) {
        let Self {
            choice,
            logits,
            weights,
            token,
            vocab,
        } = *self;
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
}

/// The kernel reads the logits, and writes and reads the weights.
fn cost(d: &Dispatch, _: Step) -> Cost {
    let vocab = d.params::<Params>().vocab;
    Cost {
        shape: [vocab, 0, 0],
        bytes: 12 * u64::from(vocab),
        flops: 0,
    }
}

/// The kernel loads logits four at a time.
fn extents(d: &Dispatch, _: Step) -> Vec<u64> {
    let logits = u64::from(d.params::<Params>().vocab).next_multiple_of(4);
    vec![words_of::<Choice>(), logits, logits, 1]
}
