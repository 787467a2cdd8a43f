//! The end of attention of a batch: combines the token partials of each row into its output.
//!
//! The WGSL is that of [`ATTENTION_COMBINE`](super::ATTENTION_COMBINE) with `PAGED` defined.

#[cfg(feature = "testing")]
mod cases;
#[cfg(feature = "testing")]
mod reference;

use crate::buffers::BufferRef;
use crate::capabilities::Capabilities;
use crate::kernel::{Cost, Dispatch, Kernel, Step, Variant, params, read, words_of, write};
use crate::kernels::attention::paged::token_partials;
use crate::kv::{AttentionShape, BatchRow, KvFormat};
use crate::plan::Plan;

params! {
    /// Query heads.
    heads: u32,
    /// KV heads.
    kv_heads: u32,
    /// Floats in a head.
    head_dim: u32,
    /// Token partials that `partials` holds.
    token_partials: u32,
    /// Block of the Hadamard transform that values were cached with; 1: no transform.
    block: u32,
    /// Padding to 16 bytes.
    reserved0: u32,
    /// Padding.
    reserved1: u32,
    /// Padding.
    reserved2: u32,
}

/// The kernel.
pub static ATTENTION_COMBINE_PAGED: Kernel = Kernel {
    name: "attention_combine_paged",
    summary: "combines the token partials of each row of a batch",
    wgsl: include_str!("../combine.wgsl"),
    weights: false,
    params: Params::FIELDS,
    params_bytes: size_of::<Params>(),
    bindings: &[
        read("partials"),
        write("out"),
        read("batch_rows").of_integers(),
    ],
    overrides: &["SPLIT_GROUPS"],
    variants: &[Variant::base("base", &["PAGED"])],
    cost,
    extents,
    #[cfg(feature = "testing")]
    reference: reference::attention_combine_paged,
    #[cfg(feature = "testing")]
    cases: cases::cases,
};

/// Combines the token partials of a batch's rows into the output of attention. Rows without
/// partials keep their output.
#[derive(Clone, Copy, Debug)]
pub struct PagedCombine {
    /// The shape of attention.
    pub shape: AttentionShape,
    /// How the KV cache is stored.
    pub kv: KvFormat,
    /// `[chunk]` [`BatchRow`].
    pub rows: BufferRef,
    /// As [`PagedAttention`](crate::kernels::attention::paged::PagedAttention) left them.
    pub partials: BufferRef,
    /// `[rows, heads, head_dim]`.
    pub out: BufferRef,
    /// Rows of the batch, at most.
    pub chunk: u32,
}

impl PagedCombine {
    /// Records the dispatch.
    pub fn record(&self, plan: &mut Plan, caps: &Capabilities) {
        let Self { shape, kv, .. } = *self;
        let [_, block] = kv.blocks(shape.head_dim);
        let params = Params {
            heads: shape.heads,
            kv_heads: shape.kv_heads,
            head_dim: shape.head_dim,
            token_partials: token_partials(self.partials, shape),
            block,
            reserved0: 0,
            reserved1: 0,
            reserved2: 0,
        };
        plan.push(Dispatch {
            kernel: &ATTENTION_COMBINE_PAGED,
            variant: &ATTENTION_COMBINE_PAGED.variants[0],
            format: None,
            overrides: split_groups(caps.cpu),
            params: bytemuck::bytes_of(&params).to_vec(),
            buffers: vec![self.partials, self.out, self.rows],
            workgroups: [shape.heads, self.chunk, 1],
        });
    }
}

/// The override of the groups that divide the partials. It is the same for all batches of a device,
/// because the order of the sum depends on it.
fn split_groups(cpu: bool) -> Vec<(&'static str, u32)> {
    vec![("SPLIT_GROUPS", if cpu { 2 } else { 8 })]
}

/// Each row has as many partials as a row's items on average.
fn cost(d: &Dispatch, step: Step) -> Cost {
    let p: Params = d.params();
    let heads = u64::from(step.count) * u64::from(p.heads);
    let items = u64::from((step.items / step.count.max(1)).max(1));
    let partials = heads * items * u64::from(p.head_dim + 2);
    Cost {
        shape: [p.heads, p.head_dim, 0],
        bytes: 4 * (partials + heads * u64::from(p.head_dim)),
        flops: 4 * partials,
    }
}

fn extents(d: &Dispatch, step: Step) -> Vec<u64> {
    let p: Params = d.params();
    let heads = u64::from(p.heads);
    let rows = u64::from(step.count.min(d.workgroups[1]));
    vec![
        u64::from(p.token_partials) * heads * u64::from(p.head_dim + 2),
        rows * heads * u64::from(p.head_dim),
        rows * words_of::<BatchRow>(),
    ]
}
