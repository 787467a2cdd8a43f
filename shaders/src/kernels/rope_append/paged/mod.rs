//! Rotary position embedding of a batch's queries and keys, and the append to a paged KV cache.
//!
//! The WGSL is that of [`ROPE_APPEND`](super::ROPE_APPEND) with `PAGED` defined.

#[cfg(feature = "testing")]
mod cases;
#[cfg(feature = "testing")]
mod reference;

use crate::buffers::BufferRef;
use crate::capabilities::Capabilities;
use crate::kernel::{Cost, Dispatch, Kernel, Step, Variant, packed, params, read, words_of, write};
use crate::kv::{AttentionShape, BatchRow, KvFormat, Segment};
use crate::plan::Plan;

use super::{Rope, tokens_per_workgroup};

params! {
    /// Query heads.
    heads: u32,
    /// KV heads.
    kv_heads: u32,
    /// Floats in a head.
    head_dim: u32,
    /// Floats of a head that are rotated.
    rotary_dim: u32,
    /// The segment's first slot, counted over all segments.
    segment_start: u32,
    /// Slots in the segment.
    segment_len: u32,
    /// Words of a cached key.
    k_words: u32,
    /// Words of a cached value.
    v_words: u32,
    /// Block of the Hadamard transform of queries and keys; 1: no transform.
    k_block: u32,
    /// Block of the transform of values.
    v_block: u32,
    /// 1: this dispatch rotates the queries.
    rotate_queries: u32,
    /// The last position that the tables can rotate by.
    last_position: u32,
    /// Slots of all segments.
    cache_slots: u32,
    /// Padding to 16 bytes.
    reserved0: u32,
    /// Padding.
    reserved1: u32,
    /// Padding.
    reserved2: u32,
}

/// The kernel.
pub static ROPE_APPEND_PAGED: Kernel = Kernel {
    name: "rope_append_paged",
    summary: "rotates a batch's q and k, appends k and v to one segment of a paged KV cache",
    wgsl: include_str!("../rope_append.wgsl"),
    weights: false,
    params: Params::FIELDS,
    params_bytes: size_of::<Params>(),
    bindings: &[
        read("tables"),
        write("qkv"),
        packed!(write("k_cache"), reference::cached_keys),
        packed!(write("v_cache"), reference::cached_values),
        read("batch_rows").of_integers(),
    ],
    overrides: &["K_PER_WORD", "V_PER_WORD"],
    variants: &[
        Variant::base("base", &["PAGED"]),
        Variant::base("cpu", &["PAGED", "CPU"]),
    ],
    cost,
    extents,
    #[cfg(feature = "testing")]
    reference: reference::rope_append_paged,
    #[cfg(feature = "testing")]
    cases: cases::cases,
};

/// Rotates a batch's queries in place, and its keys on their way to the KV cache; appends keys and
/// values. Caches with an f16 tail are not supported.
#[derive(Clone, Copy, Debug)]
pub struct PagedRopeAppend<'a> {
    /// The shape of attention.
    pub shape: AttentionShape,
    /// How the KV cache is stored.
    pub kv: KvFormat,
    /// The rotations.
    pub rope: Rope,
    /// `[rows, heads + 2 kv_heads, head_dim]`.
    pub qkv: BufferRef,
    /// `[chunk]` [`BatchRow`].
    pub rows: BufferRef,
    /// The segments of the cache. A row whose slot is in none is not appended.
    pub segments: &'a [Segment],
    /// Rows of the batch, at most.
    pub chunk: u32,
}

impl PagedRopeAppend<'_> {
    /// Records a dispatch for each segment. The first one also rotates the queries.
    pub fn record(&self, plan: &mut Plan, caps: &Capabilities) {
        let Self {
            shape, kv, rope, ..
        } = *self;
        debug_assert!(!kv.has_f16_tail(), "a paged cache has no f16 tail");
        let [k_words, v_words] = kv.words(shape.head_dim);
        let [k_block, v_block] = kv.blocks(shape.head_dim);
        let variant = &ROPE_APPEND_PAGED.variants[usize::from(caps.cpu)];
        let heads = shape.heads + 2 * shape.kv_heads;
        for (i, segment) in self.segments.iter().enumerate() {
            let params = Params {
                heads: shape.heads,
                kv_heads: shape.kv_heads,
                head_dim: shape.head_dim,
                rotary_dim: rope.rotary_dim,
                segment_start: segment.first,
                segment_len: segment.len,
                k_words,
                v_words,
                k_block,
                v_block,
                rotate_queries: u32::from(i == 0),
                last_position: last_position(rope),
                cache_slots: self.segments.iter().map(|segment| segment.len).sum(),
                reserved0: 0,
                reserved1: 0,
                reserved2: 0,
            };
            plan.push(Dispatch {
                kernel: &ROPE_APPEND_PAGED,
                variant,
                format: None,
                overrides: kv.overrides(),
                params: bytemuck::bytes_of(&params).to_vec(),
                buffers: vec![rope.tables, self.qkv, segment.k, segment.v, self.rows],
                workgroups: [heads, self.chunk.div_ceil(tokens_per_workgroup(variant)), 1],
            });
        }
    }
}

/// The last position of the tables, by their size.
fn last_position(rope: Rope) -> u32 {
    let rows = rope.tables.bytes / 4 / u64::from(rope.rotary_dim.max(1));
    let positions = rows.saturating_sub(1024).max(1) * 1024;
    u32::try_from(positions - 1).unwrap_or(u32::MAX)
}

/// Keys and values are the segment's share: its share of the cache's slots.
fn cost(d: &Dispatch, step: Step) -> Cost {
    let p: Params = d.params();
    let rows = u64::from(step.count);
    let queries = rows * u64::from(p.rotate_queries * p.heads);
    let keys =
        rows * u64::from(p.kv_heads) * u64::from(p.segment_len) / u64::from(p.cache_slots.max(1));
    let cached = u64::from(2 * p.head_dim + p.k_words + p.v_words);
    Cost {
        shape: [p.heads, p.kv_heads, p.head_dim],
        bytes: 4 * (queries * u64::from(2 * p.head_dim) + keys * cached),
        flops: 3 * (queries + keys) * u64::from(p.rotary_dim),
    }
}

fn extents(d: &Dispatch, step: Step) -> Vec<u64> {
    let p: Params = d.params();
    let most = d.workgroups[1] * tokens_per_workgroup(d.variant);
    let rows = u64::from(step.count.min(most));
    let width = u64::from(p.head_dim) * u64::from(p.heads + 2 * p.kv_heads);
    let slots = u64::from(p.segment_len) * u64::from(p.kv_heads);
    vec![
        u64::from(p.rotary_dim) * u64::from(1024 + p.last_position / 1024 + 1),
        rows * width,
        slots * u64::from(p.k_words),
        slots * u64::from(p.v_words),
        rows * words_of::<BatchRow>(),
    ]
}
