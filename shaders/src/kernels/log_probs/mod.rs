//! Log-probabilities of the chosen token and of the most likely ones, for rows of logits.

#[cfg(feature = "testing")]
mod cases;
#[cfg(feature = "testing")]
mod reference;

use crate::buffers::BufferRef;
use crate::kernel::{Cost, Dispatch, Kernel, Step, Variant, read, words_of, write};
use crate::kernel::{packed, params};
use crate::kernels::sample::{Choice, UNALIGNED, logits_extent, output_rows, overrides_for};
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

/// The most [`Choice::top_logprobs`] that count: more are as many as this.
pub const MOST: u32 = 20;

/// The logarithm of a token's probability, in the layout of the WGSL struct of the same name.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct LogProb {
    /// The token, or [`NO_TOKEN`](crate::kernels::sample::NO_TOKEN): no token can be chosen from
    /// the logits, or the vocabulary is shorter than the list.
    pub token: u32,
    /// The natural logarithm of its probability, at least -1e30, which stands for minus infinity.
    /// 0 where there is no token.
    pub value: f32,
}

/// The kernel.
pub static LOG_PROBS: Kernel = Kernel {
    name: "log_probs",
    summary: "log-probabilities of the chosen token and of the most likely ones",
    wgsl: include_str!("log_probs.wgsl"),
    weights: false,
    params: Params::FIELDS,
    params_bytes: size_of::<Params>(),
    bindings: &[
        read("choices"),
        read("logits"),
        read("chosen").of_integers(),
        packed!(write("out"), reference::unpack),
    ],
    overrides: &[UNALIGNED],
    variants: &[Variant::base("base", &[])],
    cost,
    extents,
    #[cfg(feature = "testing")]
    reference: reference::log_probs,
    #[cfg(feature = "testing")]
    cases: cases::cases,
};

/// The [`LogProb`]s of each output row of the step whose choice asks for them: that of the chosen
/// token, then those of the [`Choice::top_logprobs`] most likely tokens, in descending order, of
/// equal ones the lowest id first. The rest of the row stays as it is, and so do other rows.
///
/// The probabilities are those of the logits as they are: after penalties and biases, before
/// temperature, top-k, top-p and min-p.
#[derive(Clone, Copy, Debug)]
pub struct LogProbs {
    /// `[rows]` of [`Choice`].
    pub choices: BufferRef,
    /// `[rows, vocab]`.
    pub logits: BufferRef,
    /// The chosen tokens.
    pub chosen: BufferRef,
    /// `[rows, 1 + MOST]` of [`LogProb`].
    pub out: BufferRef,
    /// Number of logits of a row.
    pub vocab: u32,
    /// The most output rows that the plan is replayed with.
    pub rows: u32,
}

impl LogProbs {
    /// Appends the dispatch to the plan.
    pub fn record(&self, plan: &mut Plan) {
        let Self {
            choices,
            logits,
            chosen,
            out,
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
            kernel: &LOG_PROBS,
            variant: &LOG_PROBS.variants[0],
            format: None,
            overrides: overrides_for(vocab, rows),
            params: bytemuck::bytes_of(&params).to_vec(),
            buffers: vec![choices, logits, chosen, out],
            workgroups: [rows, 1, 1],
        });
    }
}

/// The host that times plans does not know which rows ask for log-probabilities: all count, with
/// one read of the logits.
fn cost(d: &Dispatch, step: Step) -> Cost {
    let vocab = d.params::<Params>().vocab;
    let rows = output_rows(d, step);
    Cost {
        shape: [vocab, rows as u32, 0],
        bytes: 4 * rows * u64::from(vocab),
        flops: 0,
    }
}

fn extents(d: &Dispatch, step: Step) -> Vec<u64> {
    let p: Params = d.params();
    let rows = output_rows(d, step);
    vec![
        rows * words_of::<Choice>(),
        logits_extent(rows, p.vocab),
        p.chosen_len.into(),
        rows * u64::from(1 + MOST) * words_of::<LogProb>(),
    ]
}
