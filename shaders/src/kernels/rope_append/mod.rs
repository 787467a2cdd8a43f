//! Rotary position embedding (Su et al. 2021) of queries and keys, and the append to the KV cache.

#[cfg(feature = "testing")]
mod cases;
pub mod paged;
#[cfg(feature = "testing")]
mod reference;
mod tables;

use crate::buffers::BufferRef;
use crate::capabilities::Capabilities;
use crate::kernel::Dispatch;
use crate::kernel::params;
use crate::kernel::{Cost, Kernel, Step, Variant, packed, read, write};
use crate::kv::{AttentionShape, F16Tail, KvFormat, Segment};
use crate::plan::Plan;

#[cfg(feature = "testing")]
pub(crate) use cases::{rounding, tables};
pub use paged::PagedRopeAppend;
pub use tables::RopeTables;
pub(crate) use tables::table_words;

params! {
    /// Query heads.
    heads: u32,
    /// KV heads.
    kv_heads: u32,
    /// Floats in a head.
    head_dim: u32,
    /// Floats of a head that are rotated.
    rotary_dim: u32,
    /// Position of the segment's first slot.
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
    /// Positions in the f16 tail; 0: there is none.
    tail_len: u32,
    /// Padding to 16 bytes.
    reserved0: u32,
}

/// The kernel.
pub static ROPE_APPEND: Kernel = Kernel {
    name: "rope_append",
    summary: "rotates q and k by their positions, appends k and v to the KV cache",
    wgsl: include_str!("rope_append.wgsl"),
    weights: false,
    params: Params::FIELDS,
    params_bytes: size_of::<Params>(),
    bindings: &[
        read("tables"),
        write("qkv"),
        packed!(write("k_cache"), reference::cached_keys),
        packed!(write("v_cache"), reference::cached_values),
        packed!(write("f16_tail"), reference::tail_floats),
    ],
    overrides: &["K_PER_WORD", "V_PER_WORD"],
    variants: &[Variant::base("base", &[]), Variant::base("cpu", &["CPU"])],
    cost,
    extents,
    #[cfg(feature = "testing")]
    reference: reference::rope_append,
    #[cfg(feature = "testing")]
    cases: cases::cases,
};

/// Tokens that a workgroup of a variant takes, each with one head.
fn tokens_per_workgroup(variant: &Variant) -> u32 {
    if variant.is_for_cpus() { 8 } else { 1 }
}

/// The rotation tables of a model on the GPU.
#[derive(Clone, Copy, Debug)]
pub struct Rope {
    /// The floats of [`RopeTables`].
    pub tables: BufferRef,
    /// Floats of a head that are rotated.
    pub rotary_dim: u32,
}

/// Rotates a pass's queries in place, and its keys on their way to the KV cache; appends keys and
/// values.
#[derive(Clone, Copy, Debug)]
pub struct RopeAppend {
    /// The shape of attention.
    pub shape: AttentionShape,
    /// How the KV cache is stored.
    pub kv: KvFormat,
    /// The rotations.
    pub rope: Rope,
    /// `[tokens, heads + 2 kv_heads, head_dim]`.
    pub qkv: BufferRef,
    /// Holds all positions of the pass.
    pub segment: Segment,
    /// The layer's f16 tail, for passes of `chunk` tokens.
    pub tail: F16Tail,
    /// Tokens of the pass, at most.
    pub chunk: u32,
}

impl RopeAppend {
    /// Records the dispatch.
    pub fn record(&self, plan: &mut Plan, caps: &Capabilities) {
        let Self {
            shape,
            kv,
            rope,
            segment,
            tail,
            ..
        } = *self;
        let [k_words, v_words] = kv.words(shape.head_dim);
        let [k_block, v_block] = kv.blocks(shape.head_dim);
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
            tail_len: tail.len,
            reserved0: 0,
        };
        let variant = &ROPE_APPEND.variants[usize::from(caps.cpu)];
        let heads = shape.heads + 2 * shape.kv_heads;
        plan.push(Dispatch {
            kernel: &ROPE_APPEND,
            variant,
            format: None,
            overrides: kv.overrides(),
            params: bytemuck::bytes_of(&params).to_vec(),
            buffers: vec![rope.tables, self.qkv, segment.k, segment.v, tail.buffer],
            workgroups: [heads, self.chunk.div_ceil(tokens_per_workgroup(variant)), 1],
        });
    }
}

fn cost(d: &Dispatch, step: Step) -> Cost {
    let p: Params = d.params();
    let rotated = (p.heads + p.kv_heads) * p.rotary_dim;
    let cached = p.kv_heads * (p.k_words + p.v_words);
    let words = p.head_dim * (2 * p.heads + 2 * p.kv_heads) + cached + 2 * p.rotary_dim;
    Cost {
        shape: [p.heads, p.kv_heads, p.head_dim],
        bytes: 4 * u64::from(step.count) * u64::from(words),
        flops: 3 * u64::from(step.count) * u64::from(rotated),
    }
}

fn extents(d: &Dispatch, step: Step) -> Vec<u64> {
    let p: Params = d.params();
    let most = d.workgroups[1] * tokens_per_workgroup(d.variant);
    let tokens = u64::from(step.count.min(most));
    let width = u64::from(p.head_dim) * u64::from(p.heads + 2 * p.kv_heads);
    let slots = u64::from(p.segment_len) * u64::from(p.kv_heads);
    vec![
        table_words(p.rotary_dim, step),
        tokens * width,
        slots * u64::from(p.k_words),
        slots * u64::from(p.v_words),
        u64::from(p.tail_len) * u64::from(p.kv_heads) * u64::from(p.head_dim),
    ]
}
