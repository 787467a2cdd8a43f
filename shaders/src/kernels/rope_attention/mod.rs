//! One token's attention in one launch: rotation, the KV cache's growth, and attention over its only segment.

#[cfg(feature = "testing")]
mod cases;
#[cfg(feature = "testing")]
mod reference;

use crate::capabilities::Capabilities;
use crate::kernel::{Cost, Kernel, Step, Variant, packed, read, write};
use crate::kernels::attention::splits;
use crate::kernels::rope_append::{Rope, table_words};
use crate::kv::{AttentionShape, KvFormat, Segment};
use crate::params;
use crate::plan::{BufferRef, Dispatch, Plan};

params! {
    /// Query heads.
    heads: u32,
    /// KV heads.
    kv_heads: u32,
    /// Floats in a head.
    head_dim: u32,
    /// Floats of a head that are rotated.
    rotary_dim: u32,
    /// Workgroups that share a KV head's positions.
    splits: u32,
    /// Position that the segment begins with.
    first: u32,
    /// Positions in the segment.
    len: u32,
    /// Words of a cached key.
    k_words: u32,
    /// Words of a cached value.
    v_words: u32,
    /// What scores are multiplied by: `1 / sqrt(head_dim)`.
    scale: f32,
    /// Block of the Hadamard transform of queries and keys; 1: none.
    k_block: u32,
    /// Block of the transform of values.
    v_block: u32,
    /// 1: there is one split, and the result is stored instead of states.
    finish: u32,
    /// 1, which no compiler knows: a loop that steps by it stays one.
    one: u32,
    /// Padding to 16 bytes.
    reserved0: u32,
    /// Padding.
    reserved1: u32,
}

/// Queries of a KV head, at most.
const ROWS: u32 = 4;

/// Tokens up to whose number a workgroup goes through all positions by itself: that takes less than putting together what
/// several found.
pub const SHALLOW: u32 = 512;

/// The kernel.
pub static ROPE_ATTENTION: Kernel = Kernel {
    name: "rope_attention",
    summary: "rotates one token's q and k, appends k and v to the KV cache, and attends",
    wgsl: include_str!("rope_attention.wgsl"),
    weights: false,
    params: Params::FIELDS,
    params_bytes: size_of::<Params>(),
    bindings: &[
        read("tables"),
        read("qkv"),
        packed!(write("k_cache"), reference::cached_keys),
        packed!(write("v_cache"), reference::cached_values),
        write("states"),
        write("y"),
    ],
    overrides: &["K_VALUES", "V_VALUES", "HEAD_DIM"],
    variants: &[Variant::base("base", &[]), Variant::subgroups32("subgroups32", &["SUBGROUPS", "PREFETCH"])],
    cost,
    extents,
    #[cfg(feature = "testing")]
    reference: reference::rope_attention,
    #[cfg(feature = "testing")]
    cases: cases::cases,
};

/// Whether one token's attention is one launch: on GPUs, over a cache of one segment that keeps nothing as halves besides.
pub fn suits(caps: &Capabilities, heads: AttentionShape, kv: KvFormat, segments: &[Segment]) -> bool {
    !caps.cpu && kv.page() == 1 && heads.heads / heads.kv_heads <= ROWS && segments.len() == 1
}

/// Records the rotation of the token's queries and key, which `qkv` `[heads + 2 kv_heads, head_dim]` holds before its value, the
/// growth of the KV cache, and attention over it; where [`suits`] says so.
///
/// With `shallow`, for contexts of up to [`SHALLOW`] tokens, `y` `[heads, head_dim]` is the result. Else
/// [`attention_combine`](crate::kernels::attention::combine::attention_combine) makes it of `states`, which take
/// [`state_bytes`](crate::kernels::attention::state_bytes).
#[expect(clippy::too_many_arguments, reason = "becomes a struct of named fields")]
pub fn rope_attention(
    plan: &mut Plan,
    caps: &Capabilities,
    heads: AttentionShape,
    kv: KvFormat,
    rope: &Rope,
    qkv: BufferRef,
    segment: &Segment,
    states: BufferRef,
    y: BufferRef,
    shallow: bool,
) {
    let AttentionShape { heads: query_heads, kv_heads, head_dim } = heads;
    let ([k_words, v_words], [k_block, v_block]) = (kv.words(head_dim), kv.blocks(head_dim));
    let splits = if shallow { 1 } else { splits(caps, heads, 1) };
    let params = Params {
        heads: query_heads,
        kv_heads,
        head_dim,
        rotary_dim: rope.rotary_dim,
        splits,
        first: segment.first,
        len: segment.len,
        k_words,
        v_words,
        scale: 1.0 / (head_dim as f32).sqrt(),
        k_block,
        v_block,
        finish: shallow.into(),
        one: 1,
        reserved0: 0,
        reserved1: 0,
    };
    plan.push(Dispatch {
        kernel: &ROPE_ATTENTION,
        variant: &ROPE_ATTENTION.variants[usize::from(caps.subgroups32)],
        format: None,
        overrides: kv.overrides_for(head_dim),
        params: bytemuck::bytes_of(&params).to_vec(),
        buffers: vec![rope.tables, qkv, segment.k, segment.v, states, y],
        workgroups: [1, kv_heads, splits],
    });
}

/// What is cached is read once; a score and a value are a multiply-add for each float.
fn cost(d: &Dispatch, step: Step) -> Cost {
    let p: Params = d.params();
    let seen = u64::from((step.position + 1).saturating_sub(p.first).min(p.len));
    let cached = seen * u64::from(p.kv_heads * (p.k_words + p.v_words));
    let floats = u64::from(2 * (p.heads + p.kv_heads) * p.head_dim + 2 * p.rotary_dim);
    Cost {
        shape: [p.heads, p.kv_heads, p.head_dim],
        bytes: 4 * (cached + floats),
        flops: 4 * seen * u64::from(p.heads * p.head_dim) + 3 * u64::from((p.heads + p.kv_heads) * p.rotary_dim),
    }
}

fn extents(d: &Dispatch, step: Step) -> Vec<u64> {
    let p: Params = d.params();
    let (heads, head_dim) = (u64::from(p.heads), u64::from(p.head_dim));
    let slots = u64::from(p.len) * u64::from(p.kv_heads);
    let states = u64::from(p.splits) * heads * (head_dim + 2);
    vec![
        table_words(p.rotary_dim, Step { count: 1, ..step }),
        (heads + 2 * u64::from(p.kv_heads)) * head_dim,
        slots * u64::from(p.k_words),
        slots * u64::from(p.v_words),
        if p.finish == 1 { 0 } else { states },
        if p.finish == 1 { heads * head_dim } else { 0 },
    ]
}
