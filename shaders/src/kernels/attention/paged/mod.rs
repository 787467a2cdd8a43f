//! Causal attention of a batch: rows of several sequences over a paged KV cache.
//!
//! The WGSL is that of [`ATTENTION`](super::ATTENTION) with `PAGED` defined.

#[cfg(feature = "testing")]
mod cases;
#[cfg(feature = "testing")]
mod fixture;
#[cfg(feature = "testing")]
mod reference;

use crate::buffers::BufferRef;
use crate::capabilities::Capabilities;
use crate::kernel::{Cost, Dispatch, Kernel, Step, params, read, words_of, write};
use crate::kv::{AttentionShape, KvFormat, Segment, WorkItem};
use crate::plan::Plan;

use super::{AttentionVariant, RowClass};

#[cfg(feature = "testing")]
pub use cases::{Pair, pairs};

params! {
    /// Query heads.
    heads: u32,
    /// KV heads.
    kv_heads: u32,
    /// Floats in a head.
    head_dim: u32,
    /// Index of the segment. Items of other segments are left to other dispatches.
    segment: u32,
    /// The segment's first slot, counted over all segments.
    segment_start: u32,
    /// Slots in the segment.
    segment_len: u32,
    /// Factor of scores: `1 / sqrt(head_dim)`.
    scale: f32,
    /// Token partials that `partials` holds.
    token_partials: u32,
    /// Words of a cached key.
    k_words: u32,
    /// Words of a cached value.
    v_words: u32,
    /// Floats from one token's queries to the next token's.
    q_stride: u32,
    /// Entries of the list of pages.
    page_entries: u32,
    /// 1: each row has one item, so its output is stored instead of partials.
    write_output: u32,
    /// Always 1. Opaque to the compiler, so loops that step by it are not unrolled.
    one: u32,
    /// Slots of all segments.
    cache_slots: u32,
    /// Padding to 16 bytes.
    reserved0: u32,
}

/// The kernel.
pub static ATTENTION_PAGED: Kernel = Kernel {
    name: "attention_paged",
    summary: "softmax(q k^T) v for a batch's work items in one segment of a paged KV cache",
    wgsl: include_str!("../attention.wgsl"),
    weights: false,
    params: Params::FIELDS,
    params_bytes: size_of::<Params>(),
    bindings: &[
        read("q"),
        read("k_cache"),
        read("v_cache"),
        write("partials"),
        write("out"),
        read("items").of_integers(),
        read("pages").of_integers(),
    ],
    overrides: &["K_PER_WORD", "V_PER_WORD", "HEAD_DIM"],
    variants: &[
        AttentionVariant::CpuFewRows.paged_declaration(),
        AttentionVariant::CpuFewRowsSubgroup.paged_declaration(),
        AttentionVariant::Cpu.paged_declaration(),
        AttentionVariant::CpuSubgroup.paged_declaration(),
        AttentionVariant::Prefill.paged_declaration(),
        AttentionVariant::Decode.paged_declaration(),
        AttentionVariant::DecodeSubgroup32.paged_declaration(),
        AttentionVariant::PrefillCoop.paged_declaration(),
    ],
    cost,
    extents,
    #[cfg(feature = "testing")]
    reference: reference::attention_paged,
    #[cfg(feature = "testing")]
    cases: cases::cases,
};

/// Bytes of a token partial.
pub fn token_partial_bytes(shape: AttentionShape) -> u64 {
    4 * u64::from(shape.heads) * u64::from(shape.head_dim + 2)
}

/// Attention of a batch's work items over the segments of a paged KV cache.
///
/// [`PagedCombine`](super::combine::PagedCombine) makes `out` of `partials`, unless the attention
/// is `direct`. Caches with an f16 tail are not supported.
///
/// A token's partial depends on the token, its item's `begin` and its sequence alone: neither on
/// the other rows and items of the batch, nor on an `end` beyond the token, nor on where the pages
/// are.
#[derive(Clone, Copy, Debug)]
pub struct PagedAttention<'a> {
    /// The shape of attention.
    pub shape: AttentionShape,
    /// How the KV cache is stored.
    pub kv: KvFormat,
    /// `[rows, heads + 2 kv_heads, head_dim]`, of which the queries are read.
    pub qkv: BufferRef,
    /// The segments of the cache, of whole pages.
    pub segments: &'a [Segment],
    /// `[max_items]` [`WorkItem`].
    pub items: BufferRef,
    /// The pages of all items, `u32` each.
    pub pages: BufferRef,
    /// Token partials, each of [`token_partial_bytes`].
    pub partials: BufferRef,
    /// `[rows, heads, head_dim]`.
    pub out: BufferRef,
    /// Work items, at most; a device's workgroups in a dimension at most.
    pub max_items: u32,
    /// Tokens of an item, at most.
    pub item_tokens: u32,
    /// Which class of variants runs.
    pub class: RowClass,
    /// Whether the output is stored at once, without partials: on CPUs, where each row has exactly
    /// one item, and values are cached without a transform.
    pub direct: bool,
}

impl PagedAttention<'_> {
    /// Records a dispatch for each segment.
    pub fn record(&self, plan: &mut Plan, caps: &Capabilities) {
        let Self { shape, kv, .. } = *self;
        let [_, v_block] = kv.blocks(shape.head_dim);
        debug_assert!(!kv.has_f16_tail(), "paged attention has no f16 tail");
        debug_assert!(!self.direct || caps.cpu && v_block == 1);
        let item_rows = self.item_tokens * shape.heads_per_kv_head();
        let variant = AttentionVariant::for_class(caps, self.class, item_rows);
        let [k_words, v_words] = kv.words(shape.head_dim);
        let cache_slots = self.segments.iter().map(|segment| segment.len).sum();
        for (segment, index) in self.segments.iter().zip(0..) {
            let params = Params {
                heads: shape.heads,
                kv_heads: shape.kv_heads,
                head_dim: shape.head_dim,
                segment: index,
                segment_start: segment.first,
                segment_len: segment.len,
                scale: shape.score_scale(),
                token_partials: token_partials(self.partials, shape),
                k_words,
                v_words,
                q_stride: shape.qkv_width(),
                page_entries: u32::try_from(self.pages.bytes / 4).unwrap_or(u32::MAX),
                write_output: self.direct.into(),
                one: 1,
                cache_slots,
                reserved0: 0,
            };
            plan.push(Dispatch {
                kernel: &ATTENTION_PAGED,
                variant: &ATTENTION_PAGED.variants[variant as usize],
                format: None,
                overrides: kv.overrides_for(shape.head_dim),
                params: bytemuck::bytes_of(&params).to_vec(),
                buffers: vec![
                    self.qkv,
                    segment.k,
                    segment.v,
                    self.partials,
                    self.out,
                    self.items,
                    self.pages,
                ],
                workgroups: [
                    self.max_items,
                    shape.kv_heads,
                    item_rows.div_ceil(variant.rows_per_workgroup()),
                ],
            });
        }
    }
}

/// Token partials that a buffer holds.
pub(super) fn token_partials(partials: BufferRef, shape: AttentionShape) -> u32 {
    u32::try_from(partials.bytes / token_partial_bytes(shape)).unwrap_or(u32::MAX)
}

/// A segment's share of what all dispatches do: its share of the cache's slots.
///
/// [`Step::position`] is the positions that all items attend to together. Each is read once for an
/// item; a score and a value take a multiply-add for each float and token.
fn cost(d: &Dispatch, step: Step) -> Cost {
    let p: Params = d.params();
    let share = |all: u64| {
        let all = u128::from(all) * u128::from(p.segment_len);
        (all / u128::from(p.cache_slots.max(1))) as u64
    };
    let cached = u64::from(step.position) * u64::from(p.kv_heads * (p.k_words + p.v_words));
    let floats = u64::from(step.count) * u64::from(p.heads * p.head_dim);
    let tokens_of_item = u64::from((step.count / step.items.max(1)).max(1));
    let scores = u64::from(step.position) * tokens_of_item;
    Cost {
        shape: [p.heads, p.kv_heads, p.head_dim],
        bytes: share(4 * (cached + 2 * floats)),
        flops: share(4 * scores * u64::from(p.heads * p.head_dim)),
    }
}

fn extents(d: &Dispatch, step: Step) -> Vec<u64> {
    let p: Params = d.params();
    let tokens = u64::from(step.count);
    let floats = u64::from(p.heads) * u64::from(p.head_dim);
    let slots = u64::from(p.segment_len) * u64::from(p.kv_heads);
    let partials = u64::from(p.token_partials) * u64::from(p.heads) * u64::from(p.head_dim + 2);
    let writes_output = p.write_output == 1;
    vec![
        tokens.saturating_sub(1) * u64::from(p.q_stride) + floats,
        slots * u64::from(p.k_words),
        slots * u64::from(p.v_words),
        if writes_output { 0 } else { partials },
        if writes_output { tokens * floats } else { 0 },
        u64::from(step.items.clamp(1, d.workgroups[0])) * words_of::<WorkItem>(),
        u64::from(p.page_entries),
    ]
}
