//! Drawing tokens from rows of logits.

#[cfg(feature = "testing")]
mod cases;
#[cfg(feature = "testing")]
mod reference;

#[cfg(feature = "testing")]
pub(crate) use cases::{CHOSEN_LEN, MIXED, Rows, unusual};

use crate::buffers::BufferRef;
use crate::kernel::params;
use crate::kernel::{Cost, Dispatch, Kernel, Step, Variant, read, words_of, write};
use crate::plan::Plan;

params! {
    /// Number of logits of a row.
    vocab: u32,
    /// Length of `chosen`.
    chosen_len: u32,
    /// Padding to 16 bytes.
    reserved0: u32,
    /// Padding.
    reserved1: u32,
}

/// How the token of an output row is chosen, in the layout of the WGSL struct of the same name.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Choice {
    /// Divides the logits. At least 0; 0: the token is the one with the largest logit.
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
    /// Index of the first adjustment.
    pub first_entry: u32,
    /// The index, in the buffer of chosen tokens, that the token is written to.
    pub chosen: u32,
    /// Number of log-probabilities beside the chosen token's: see
    /// [`log_probs`](crate::kernels::log_probs). 0: none at all.
    pub top_logprobs: u32,
}

/// The token id that [`Sample`] and [`Argmax`](crate::kernels::argmax::Argmax) write where no token
/// can be chosen: a logit is NaN or plus infinity, or no logit is above -3e38.
///
/// The id is beyond every vocabulary, so that [`Embed`](crate::kernels::embed::Embed) ignores it.
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
        read("choices"),
        read("logits"),
        write("weights"),
        write("chosen").of_integers(),
    ],
    overrides: &[UNALIGNED],
    variants: &[Variant::base("base", &[])],
    cost,
    extents,
    #[cfg(feature = "testing")]
    reference: reference::sample,
    #[cfg(feature = "testing")]
    cases: cases::cases,
};

/// The override of kernels that load logits four at a time: rows after the first may begin inside a
/// vector.
pub(crate) const UNALIGNED: &str = "UNALIGNED";

/// The overrides of a kernel that loads up to `rows` rows of `vocab` logits four at a time.
pub(crate) fn overrides_for(vocab: u32, rows: u32) -> Vec<(&'static str, u32)> {
    match rows > 1 && !vocab.is_multiple_of(4) {
        true => vec![(UNALIGNED, 1)],
        false => Vec::new(),
    }
}

/// The output rows that a dispatch with a workgroup for each row computes in a step.
pub(crate) fn output_rows(d: &Dispatch, step: Step) -> u64 {
    step.outputs.min(d.workgroups[0]).into()
}

/// Words up to the last that is loaded of `rows` rows of `vocab` logits, which kernels load four at
/// a time.
pub(crate) fn logits_extent(rows: u64, vocab: u32) -> u64 {
    (rows * u64::from(vocab)).next_multiple_of(4)
}

/// `chosen[choice.chosen] =` a token drawn as the row's choice says, or [`NO_TOKEN`], for each
/// output row of the step whose temperature is not 0.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// `[rows]` of [`Choice`].
    pub choices: BufferRef,
    /// `[rows, vocab]`.
    pub logits: BufferRef,
    /// Scratch for the unnormalised probabilities: `[rows, vocab rounded up to 4]`.
    pub weights: BufferRef,
    /// The chosen tokens.
    pub chosen: BufferRef,
    /// Number of logits of a row.
    pub vocab: u32,
    /// The most output rows that the plan is replayed with.
    pub rows: u32,
}

impl Sample {
    /// Appends the dispatch to the plan.
    pub fn record(&self, plan: &mut Plan) {
        let Self {
            choices,
            logits,
            weights,
            chosen,
            vocab,
            rows,
        } = *self;
        let params = Params {
            vocab,
            chosen_len: (chosen.bytes / 4) as u32,
            reserved0: 0,
            reserved1: 0,
        };
        plan.push(Dispatch {
            kernel: &SAMPLE,
            variant: &SAMPLE.variants[0],
            format: None,
            overrides: overrides_for(vocab, rows),
            params: bytemuck::bytes_of(&params).to_vec(),
            buffers: vec![choices, logits, weights, chosen],
            workgroups: [rows, 1, 1],
        });
    }
}

/// The kernel reads the logits, and writes and reads the weights. The host that times plans does
/// not know which rows have a temperature: all count.
fn cost(d: &Dispatch, step: Step) -> Cost {
    let vocab = d.params::<Params>().vocab;
    let rows = output_rows(d, step);
    Cost {
        shape: [vocab, rows as u32, 0],
        bytes: 12 * rows * u64::from(vocab),
        flops: 0,
    }
}

fn extents(d: &Dispatch, step: Step) -> Vec<u64> {
    let p: Params = d.params();
    let rows = output_rows(d, step);
    vec![
        rows * words_of::<Choice>(),
        logits_extent(rows, p.vocab),
        rows * u64::from(p.vocab).next_multiple_of(4),
        p.chosen_len.into(),
    ]
}
