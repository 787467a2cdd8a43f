//! The tokens with the largest logits of rows.

#[cfg(feature = "testing")]
mod cases;
#[cfg(feature = "testing")]
mod reference;

use crate::buffers::BufferRef;
use crate::kernel::params;
use crate::kernel::{Cost, Dispatch, Kernel, Step, Variant, read, words_of, write};
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

/// The kernel.
pub static ARGMAX: Kernel = Kernel {
    name: "argmax",
    summary: "the index of the largest logit",
    wgsl: include_str!("argmax.wgsl"),
    weights: false,
    params: Params::FIELDS,
    params_bytes: size_of::<Params>(),
    bindings: &[
        read("choices"),
        read("logits"),
        write("chosen").of_integers(),
    ],
    overrides: &[UNALIGNED],
    variants: &[Variant::base("base", &[])],
    cost,
    extents,
    #[cfg(feature = "testing")]
    reference: reference::argmax,
    #[cfg(feature = "testing")]
    cases: cases::cases,
};

/// `chosen[choice.chosen] = argmax(logits)`, or [`NO_TOKEN`](crate::kernels::sample::NO_TOKEN), for
/// each output row of the step whose temperature is 0.
#[derive(Clone, Copy, Debug)]
pub struct Argmax {
    /// `[rows]` of [`Choice`].
    pub choices: BufferRef,
    /// `[rows, vocab]`.
    pub logits: BufferRef,
    /// The chosen tokens.
    pub chosen: BufferRef,
    /// Number of logits of a row.
    pub vocab: u32,
    /// The most output rows that the plan is replayed with.
    pub rows: u32,
}

impl Argmax {
    /// Appends the dispatch to the plan.
    pub fn record(&self, plan: &mut Plan) {
        let Self {
            choices,
            logits,
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
            kernel: &ARGMAX,
            variant: &ARGMAX.variants[0],
            format: None,
            overrides: overrides_for(vocab, rows),
            params: bytemuck::bytes_of(&params).to_vec(),
            buffers: vec![choices, logits, chosen],
            workgroups: [rows, 1, 1],
        });
    }
}

/// The host that times plans does not know which rows have a temperature of 0: all count.
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
    ]
}
