//! The end of attention: combines the partials of KV splits into the output.

#[cfg(feature = "testing")]
mod cases;
pub mod paged;
#[cfg(feature = "testing")]
mod reference;

use crate::buffers::BufferRef;
use crate::capabilities::Capabilities;
use crate::kernel::Dispatch;
use crate::kernel::params;
use crate::kernel::{Cost, Kernel, Step, Variant, read, write};
use crate::kernels::attention::{splits, splits_in_use, writes_output};
use crate::kv::{AttentionShape, KvFormat};
use crate::plan::Plan;

pub use paged::PagedCombine;

params! {
    /// Query heads.
    heads: u32,
    /// KV heads.
    kv_heads: u32,
    /// Floats in a head.
    head_dim: u32,
    /// KV splits.
    splits: u32,
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
pub static ATTENTION_COMBINE: Kernel = Kernel {
    name: "attention_combine",
    summary: "combines the partials of attention's KV splits",
    wgsl: include_str!("combine.wgsl"),
    weights: false,
    params: Params::FIELDS,
    params_bytes: size_of::<Params>(),
    bindings: &[read("partials"), write("out")],
    overrides: &["SPLIT_GROUPS"],
    variants: &[Variant::base("base", &[])],
    cost,
    extents,
    #[cfg(feature = "testing")]
    reference: reference::attention_combine,
    #[cfg(feature = "testing")]
    cases: cases::cases,
};

/// Combines the partials of attention into its output.
#[derive(Clone, Copy, Debug)]
pub struct AttentionCombine {
    /// The shape of attention.
    pub shape: AttentionShape,
    /// How the KV cache is stored.
    pub kv: KvFormat,
    /// As [`Attention`](super::Attention) and [`AttentionTail`](super::tail::AttentionTail) left
    /// them.
    pub partials: BufferRef,
    /// `[tokens, heads, head_dim]`.
    pub out: BufferRef,
    /// Tokens of the pass, at most.
    pub chunk: u32,
}

impl AttentionCombine {
    /// Records the dispatch; none where attention has stored its output already.
    pub fn record(&self, plan: &mut Plan, caps: &Capabilities) {
        let Self {
            shape, kv, chunk, ..
        } = *self;
        if writes_output(caps, shape, kv, chunk) {
            return;
        }
        let splits = splits(caps, shape, chunk);
        let [_, block] = kv.blocks(shape.head_dim);
        let params = Params {
            heads: shape.heads,
            kv_heads: shape.kv_heads,
            head_dim: shape.head_dim,
            splits,
            block,
            reserved0: 0,
            reserved1: 0,
            reserved2: 0,
        };
        plan.push(Dispatch {
            kernel: &ATTENTION_COMBINE,
            variant: &ATTENTION_COMBINE.variants[0],
            format: None,
            overrides: split_groups(splits),
            params: bytemuck::bytes_of(&params).to_vec(),
            buffers: vec![self.partials, self.out],
            workgroups: [shape.heads, chunk, 1],
        });
    }
}

/// The override of the groups that divide the splits. One would do for few splits, but the Hadamard
/// transform needs the invocations of two.
fn split_groups(splits: u32) -> Vec<(&'static str, u32)> {
    vec![("SPLIT_GROUPS", if splits > 4 { 8 } else { 2 })]
}

fn cost(d: &Dispatch, step: Step) -> Cost {
    let p: Params = d.params();
    let rows = u64::from(step.count) * u64::from(p.heads);
    let splits = splits_in_use(step, p.splits);
    let partials = rows * u64::from(splits) * u64::from(p.head_dim + 2);
    Cost {
        shape: [p.heads, p.head_dim, p.splits],
        bytes: 4 * (partials + rows * u64::from(p.head_dim)),
        flops: 4 * partials,
    }
}

fn extents(d: &Dispatch, step: Step) -> Vec<u64> {
    let p: Params = d.params();
    let rows = u64::from(step.count) * u64::from(p.heads);
    let partials = u64::from(p.splits) * rows * u64::from(p.head_dim + 2);
    let tokens = step.count.min(d.workgroups[1]);
    vec![
        partials,
        u64::from(tokens) * u64::from(p.heads) * u64::from(p.head_dim),
    ]
}
