//! One token's attention in one dispatch: rotation, append to the KV cache, and attention.

#[cfg(feature = "testing")]
mod cases;
#[cfg(feature = "testing")]
mod reference;

use crate::buffers::BufferRef;
use crate::capabilities::Capabilities;
use crate::kernel::Dispatch;
use crate::kernel::params;
use crate::kernel::{Cost, Kernel, Step, Variant, packed, read, write};
use crate::kernels::attention::{AttentionVariant, splits};
use crate::kernels::rope_append::{Rope, table_words};
use crate::kv::{AttentionShape, KvFormat, Segment};
use crate::plan::Plan;

params! {
    /// Query heads.
    heads: u32,
    /// KV heads.
    kv_heads: u32,
    /// Floats in a head.
    head_dim: u32,
    /// Floats of a head that are rotated.
    rotary_dim: u32,
    /// KV splits.
    splits: u32,
    /// Position of the segment's first slot.
    segment_start: u32,
    /// Slots in the segment.
    segment_len: u32,
    /// Words of a cached key.
    k_words: u32,
    /// Words of a cached value.
    v_words: u32,
    /// Factor of scores: `1 / sqrt(head_dim)`.
    scale: f32,
    /// Block of the Hadamard transform of queries and keys; 1: no transform.
    k_block: u32,
    /// Block of the transform of values.
    v_block: u32,
    /// 1: there is one split, so the output is stored instead of partials.
    write_output: u32,
    /// Always 1. Opaque to the compiler, so loops that step by it are not unrolled.
    one: u32,
    /// Padding to 16 bytes.
    reserved0: u32,
    /// Padding.
    reserved1: u32,
}

/// The most query heads that may share a KV head: a workgroup takes all of them.
const MAX_ROWS: u32 = AttentionVariant::Decode.rows_per_workgroup();

/// The most tokens of a context over which attention is a single pass: one workgroup for each KV
/// head takes all positions, which is faster than combining the partials of several.
pub const MAX_SINGLE_PASS_TOKENS: u32 = 512;

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
        write("partials"),
        write("out"),
    ],
    overrides: &["K_PER_WORD", "V_PER_WORD", "HEAD_DIM"],
    variants: &[
        Variant::base("base", &[]),
        Variant::subgroups32("subgroup32", &["SUBGROUPS", "PREFETCH"]),
    ],
    cost,
    extents,
    #[cfg(feature = "testing")]
    reference: reference::rope_attention,
    #[cfg(feature = "testing")]
    cases: cases::cases,
};

/// Rotates one token's queries and key, appends its key and value to the KV cache, and attends.
#[derive(Clone, Copy, Debug)]
pub struct RopeAttention {
    /// The shape of attention.
    pub shape: AttentionShape,
    /// How the KV cache is stored.
    pub kv: KvFormat,
    /// The rotations.
    pub rope: Rope,
    /// `[heads + 2 kv_heads, head_dim]`; it is not written.
    pub qkv: BufferRef,
    /// The only segment of the KV cache.
    pub segment: Segment,
    /// Of [`partials_bytes`](crate::kernels::attention::partials_bytes).
    pub partials: BufferRef,
    /// `[heads, head_dim]`.
    pub out: BufferRef,
    /// Whether the dispatch stores `out`, for contexts of up to [`MAX_SINGLE_PASS_TOKENS`]. Else
    /// [`AttentionCombine`](crate::kernels::attention::combine::AttentionCombine) makes it of
    /// `partials`.
    pub single_pass: bool,
}

impl RopeAttention {
    /// Whether a device and a model can use it: on GPUs, over a cache of one segment without an f16
    /// tail.
    pub fn is_usable(
        caps: &Capabilities,
        shape: AttentionShape,
        kv: KvFormat,
        segments: &[Segment],
    ) -> bool {
        !caps.cpu
            && !kv.has_f16_tail()
            && shape.heads_per_kv_head() <= MAX_ROWS
            && segments.len() == 1
    }

    /// Records the dispatch.
    pub fn record(&self, plan: &mut Plan, caps: &Capabilities) {
        let Self {
            shape,
            kv,
            rope,
            segment,
            ..
        } = *self;
        let [k_words, v_words] = kv.words(shape.head_dim);
        let [k_block, v_block] = kv.blocks(shape.head_dim);
        let splits = if self.single_pass {
            1
        } else {
            splits(caps, shape, 1)
        };
        let params = Params {
            heads: shape.heads,
            kv_heads: shape.kv_heads,
            head_dim: shape.head_dim,
            rotary_dim: rope.rotary_dim,
            splits,
            segment_start: segment.first,
            segment_len: segment.len,
            k_words,
            v_words,
            scale: shape.score_scale(),
            k_block,
            v_block,
            write_output: self.single_pass.into(),
            one: 1,
            reserved0: 0,
            reserved1: 0,
        };
        plan.push(Dispatch {
            kernel: &ROPE_ATTENTION,
            variant: &ROPE_ATTENTION.variants[usize::from(caps.subgroups32)],
            format: None,
            overrides: kv.overrides_for(shape.head_dim),
            params: bytemuck::bytes_of(&params).to_vec(),
            buffers: vec![
                rope.tables,
                self.qkv,
                segment.k,
                segment.v,
                self.partials,
                self.out,
            ],
            workgroups: [1, shape.kv_heads, splits],
        });
    }
}

/// Each cached key and value is read once. A score and a value take a multiply-add for each float.
fn cost(d: &Dispatch, step: Step) -> Cost {
    let p: Params = d.params();
    let end = step.position + 1;
    let slots = u64::from(end.saturating_sub(p.segment_start).min(p.segment_len));
    let cached = slots * u64::from(p.kv_heads * (p.k_words + p.v_words));
    let floats = u64::from(2 * (p.heads + p.kv_heads) * p.head_dim + 2 * p.rotary_dim);
    let rotation = 3 * u64::from((p.heads + p.kv_heads) * p.rotary_dim);
    Cost {
        shape: [p.heads, p.kv_heads, p.head_dim],
        bytes: 4 * (cached + floats),
        flops: 4 * slots * u64::from(p.heads * p.head_dim) + rotation,
    }
}

fn extents(d: &Dispatch, step: Step) -> Vec<u64> {
    let p: Params = d.params();
    let heads = u64::from(p.heads);
    let head_dim = u64::from(p.head_dim);
    let slots = u64::from(p.segment_len) * u64::from(p.kv_heads);
    let partials = u64::from(p.splits) * heads * (head_dim + 2);
    vec![
        table_words(p.rotary_dim, Step { count: 1, ..step }),
        (heads + 2 * u64::from(p.kv_heads)) * head_dim,
        slots * u64::from(p.k_words),
        slots * u64::from(p.v_words),
        if p.write_output == 1 { 0 } else { partials },
        if p.write_output == 1 {
            heads * head_dim
        } else {
            0
        },
    ]
}
