//! Rotary position embedding (Su et al. 2021) of queries and keys, and the KV cache's growth.

#[cfg(feature = "testing")]
mod cases;
#[cfg(feature = "testing")]
mod reference;
mod tables;

use crate::capabilities::Capabilities;
use crate::kernel::{Cost, Kernel, Step, Variant, packed, read, write};
use crate::kv::{AttentionShape, KvFormat, Recent, Segment};
use crate::params;
use crate::plan::{BufferRef, Dispatch, Plan};

#[cfg(feature = "testing")]
pub(crate) use cases::{rounding, tables};
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
    /// Position that the segment begins with.
    first: u32,
    /// Positions in the segment.
    len: u32,
    /// Words of a cached key.
    k_words: u32,
    /// Words of a cached value.
    v_words: u32,
    /// Block of the Hadamard transform of queries and keys; 1: none.
    k_block: u32,
    /// Block of the transform of values.
    v_block: u32,
    /// Positions in the rings of what is kept as halves; 0: none.
    ring: u32,
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
        packed!(write("recent"), reference::halves),
    ],
    overrides: &["K_VALUES", "V_VALUES"],
    variants: &[Variant::base("base", &[]), Variant::base("cpu", &["CPU"])],
    cost,
    extents,
    #[cfg(feature = "testing")]
    reference: reference::rope_append,
    #[cfg(feature = "testing")]
    cases: cases::cases,
};

/// Tokens of a workgroup of each variant.
const TOKENS: [u32; 2] = [1, 8];

/// The rotation tables of a model on the GPU.
#[derive(Clone, Copy, Debug)]
pub struct Rope {
    /// [`RopeTables`]' floats.
    pub tables: BufferRef,
    /// Floats of a head that are rotated.
    pub rotary_dim: u32,
}

/// Records the rotation of the queries of `qkv` `[tokens, heads + 2 kv_heads, head_dim]` in place, and of the keys behind them
/// on their way to the cache, and the values' way there. All positions of the step must lie in `segment`, and fit the rings of
/// `recent`.
#[expect(clippy::too_many_arguments, reason = "becomes a struct of named fields")]
pub fn rope_append(
    plan: &mut Plan,
    caps: &Capabilities,
    heads: AttentionShape,
    kv: KvFormat,
    rope: &Rope,
    qkv: BufferRef,
    segment: &Segment,
    recent: Recent,
    chunk: u32,
) {
    let ([k_words, v_words], [k_block, v_block]) = (kv.words(heads.head_dim), kv.blocks(heads.head_dim));
    let params = Params {
        heads: heads.heads,
        kv_heads: heads.kv_heads,
        head_dim: heads.head_dim,
        rotary_dim: rope.rotary_dim,
        first: segment.first,
        len: segment.len,
        k_words,
        v_words,
        k_block,
        v_block,
        ring: recent.len,
        reserved0: 0,
    };
    let variant = usize::from(caps.cpu);
    plan.push(Dispatch {
        kernel: &ROPE_APPEND,
        variant: &ROPE_APPEND.variants[variant],
        format: None,
        overrides: kv.overrides(),
        params: bytemuck::bytes_of(&params).to_vec(),
        buffers: vec![rope.tables, qkv, segment.k, segment.v, recent.buffer],
        workgroups: [heads.heads + 2 * heads.kv_heads, chunk.div_ceil(TOKENS[variant]), 1],
    });
}

fn cost(d: &Dispatch, step: Step) -> Cost {
    let p: Params = d.params();
    let rotated = (p.heads + p.kv_heads) * p.rotary_dim;
    let words = p.head_dim * (2 * p.heads + 2 * p.kv_heads) + p.kv_heads * (p.k_words + p.v_words) + 2 * p.rotary_dim;
    Cost {
        shape: [p.heads, p.kv_heads, p.head_dim],
        bytes: 4 * u64::from(step.count) * u64::from(words),
        flops: 3 * u64::from(step.count) * u64::from(rotated),
    }
}

fn extents(d: &Dispatch, step: Step) -> Vec<u64> {
    let p: Params = d.params();
    let most = d.workgroups[1] * if d.variant.is_for_cpus() { TOKENS[1] } else { TOKENS[0] };
    let tokens = u64::from(step.count.min(most));
    let width = u64::from(p.head_dim) * u64::from(p.heads + 2 * p.kv_heads);
    let slots = u64::from(p.len) * u64::from(p.kv_heads);
    vec![
        table_words(p.rotary_dim, step),
        tokens * width,
        slots * u64::from(p.k_words),
        slots * u64::from(p.v_words),
        u64::from(p.ring) * u64::from(p.kv_heads) * u64::from(p.head_dim),
    ]
}
