//! Penalties and biases on the logits of some tokens of each row.

#[cfg(feature = "testing")]
mod cases;
#[cfg(feature = "testing")]
mod reference;

use crate::buffers::BufferRef;
use crate::kernel::params;
use crate::kernel::{Cost, Dispatch, Kernel, Step, Variant, read, words_of, write};
use crate::kernels::sample::{Choice, output_rows};
use crate::plan::Plan;

params! {
    /// Number of logits of a row.
    vocab: u32,
    /// Length of `adjustments`.
    adjustments_len: u32,
    /// Padding to 16 bytes.
    reserved0: u32,
    /// Padding.
    reserved1: u32,
}

/// A change to one token's logit, in the layout of the WGSL struct of the same name. A token has at
/// most one in a row.
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
    bindings: &[read("choices"), read("adjustments"), write("logits")],
    overrides: &[],
    variants: &[Variant::base("base", &[])],
    cost,
    extents,
    #[cfg(feature = "testing")]
    reference: reference::adjust,
    #[cfg(feature = "testing")]
    cases: cases::cases,
};

/// Adjusts the logits of each output row of the step: by [`Choice::entries`] adjustments, from
/// index [`Choice::first_entry`] on.
#[derive(Clone, Copy, Debug)]
pub struct Adjust {
    /// `[rows]` of [`Choice`].
    pub choices: BufferRef,
    /// The [`Adjustment`]s of all rows.
    pub adjustments: BufferRef,
    /// `[rows, vocab]`.
    pub logits: BufferRef,
    /// Number of logits of a row.
    pub vocab: u32,
    /// The most output rows that the plan is replayed with.
    pub rows: u32,
}

impl Adjust {
    /// Appends the dispatch to the plan.
    pub fn record(&self, plan: &mut Plan) {
        let Self {
            choices,
            adjustments,
            logits,
            vocab,
            rows,
        } = *self;
        let params = Params {
            vocab,
            adjustments_len: (adjustments.bytes / size_of::<Adjustment>() as u64) as u32,
            reserved0: 0,
            reserved1: 0,
        };
        plan.push(Dispatch {
            kernel: &ADJUST,
            variant: &ADJUST.variants[0],
            format: None,
            overrides: Vec::new(),
            params: bytemuck::bytes_of(&params).to_vec(),
            buffers: vec![choices, adjustments, logits],
            workgroups: [rows, 1, 1],
        });
    }
}

/// The host does not know the number of adjustments: only reading that number counts.
fn cost(d: &Dispatch, step: Step) -> Cost {
    let rows = output_rows(d, step);
    Cost {
        shape: [d.params::<Params>().vocab, rows as u32, 0],
        bytes: rows * size_of::<Choice>() as u64,
        flops: 0,
    }
}

/// The host does not know the adjustments: they may be any, and of any token.
fn extents(d: &Dispatch, step: Step) -> Vec<u64> {
    let p: Params = d.params();
    let rows = output_rows(d, step);
    vec![
        rows * words_of::<Choice>(),
        u64::from(p.adjustments_len) * words_of::<Adjustment>(),
        rows * u64::from(p.vocab),
    ]
}
