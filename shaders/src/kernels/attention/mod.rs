//! Causal attention over the KV cache, one segment at a time.
//!
//! Each folder is an algorithm: `decode`, `prefill`, `prefill_coop` and `cpu`. [`combine`] and
//! [`tail`] are the kernels that complete what this one leaves. [`paged`] is the same attention for
//! a batch of several sequences.

#[cfg(feature = "testing")]
mod cases;
pub mod combine;
mod kv_splits;
pub mod paged;
#[cfg(feature = "testing")]
mod reference;
pub mod tail;
mod variant;

use crate::buffers::BufferRef;
use crate::capabilities::Capabilities;
use crate::kernel::Dispatch;
use crate::kernel::params;
use crate::kernel::{Cost, Kernel, Step, read, write};
use crate::kv::{AttentionShape, KvFormat, Segment};
use crate::plan::{Plan, Upload};

pub(crate) use kv_splits::splits_in_use;
pub use kv_splits::{partials_bytes, splits};
pub use variant::{AttentionVariant, RowClass, variants};

params! {
    /// Query heads.
    heads: u32,
    /// KV heads.
    kv_heads: u32,
    /// Floats in a head.
    head_dim: u32,
    /// KV splits.
    splits: u32,
    /// Position of the segment's first slot.
    segment_start: u32,
    /// Slots in the segment.
    segment_len: u32,
    /// Factor of scores: `1 / sqrt(head_dim)`.
    scale: f32,
    /// 1: partials begin here; 0: they continue from those of the segment before.
    is_first_segment: u32,
    /// Words of a cached key.
    k_words: u32,
    /// Words of a cached value.
    v_words: u32,
    /// Floats from one token's queries to the next token's.
    q_stride: u32,
    /// Positions of a tail block: a row attends to those before its own block. 1: there is no f16
    /// tail, and a row attends to its own position too.
    tail_block: u32,
    /// 1: nothing follows, so the output is stored instead of partials.
    write_output: u32,
    /// Always 1. Opaque to the compiler, so loops that step by it are not unrolled.
    one: u32,
    /// Padding to 16 bytes.
    reserved0: u32,
    /// Padding.
    reserved1: u32,
}

/// The kernel.
pub static ATTENTION: Kernel = Kernel {
    name: "attention",
    summary: "running softmax(q k^T) v over one segment of the KV cache",
    wgsl: include_str!("attention.wgsl"),
    weights: false,
    params: Params::FIELDS,
    params_bytes: size_of::<Params>(),
    bindings: &[
        read("q"),
        read("k_cache"),
        read("v_cache"),
        write("partials"),
        write("out"),
    ],
    overrides: &["K_PER_WORD", "V_PER_WORD", "HEAD_DIM"],
    variants: &[
        AttentionVariant::CpuFewRows.declaration(),
        AttentionVariant::CpuFewRowsSubgroup.declaration(),
        AttentionVariant::Cpu.declaration(),
        AttentionVariant::CpuSubgroup.declaration(),
        AttentionVariant::Prefill.declaration(),
        AttentionVariant::Decode.declaration(),
        AttentionVariant::DecodeSubgroup32.declaration(),
        AttentionVariant::PrefillCoop.declaration(),
    ],
    cost,
    extents,
    #[cfg(feature = "testing")]
    reference: reference::attention,
    #[cfg(feature = "testing")]
    cases: cases::cases,
};

/// Attention of a pass's queries over segments of the KV cache.
///
/// A token's own tail block is left to [`AttentionTail`](tail::AttentionTail), where `kv` has an
/// f16 tail. [`AttentionCombine`](combine::AttentionCombine) makes `out` of `partials`, where `out`
/// is not stored at once.
#[derive(Clone, Copy, Debug)]
pub struct Attention<'a> {
    /// The shape of attention.
    pub shape: AttentionShape,
    /// How the KV cache is stored.
    pub kv: KvFormat,
    /// `[tokens, heads + 2 kv_heads, head_dim]`, of which the queries are read.
    pub qkv: BufferRef,
    /// The segments, in order of positions.
    pub segments: &'a [Segment],
    /// Of [`partials_bytes`].
    pub partials: BufferRef,
    /// `[tokens, heads, head_dim]`.
    pub out: BufferRef,
    /// Tokens of the pass, at most.
    pub chunk: u32,
    /// Which kind of variant, where a CPU computes; none: by the number of rows. A row's result is
    /// then the same to the bit as among fewer or more rows of the kind.
    pub class: Option<RowClass>,
}

impl Attention<'_> {
    /// Records a dispatch for each segment.
    pub fn record(&self, plan: &mut Plan, caps: &Capabilities) {
        let Self {
            shape, kv, chunk, ..
        } = *self;
        let rows = chunk * shape.heads_per_kv_head();
        let variant = match self.class.filter(|_| caps.cpu) {
            Some(class) => AttentionVariant::for_class(caps, class, rows),
            None => AttentionVariant::for_pass(caps, rows, chunk),
        };
        let splits = splits(caps, shape, chunk);
        let writes_output = writes_output(caps, shape, kv, chunk);
        let [k_words, v_words] = kv.words(shape.head_dim);
        for (i, segment) in self.segments.iter().enumerate() {
            let is_last_segment = i + 1 == self.segments.len();
            let params = Params {
                heads: shape.heads,
                kv_heads: shape.kv_heads,
                head_dim: shape.head_dim,
                splits,
                segment_start: segment.first,
                segment_len: segment.len,
                scale: shape.score_scale(),
                is_first_segment: u32::from(i == 0),
                k_words,
                v_words,
                q_stride: shape.qkv_width(),
                tail_block: kv.tail_block(),
                write_output: u32::from(writes_output && is_last_segment),
                one: 1,
                reserved0: 0,
                reserved1: 0,
            };
            if let Some(host) = segment.host {
                plan.uploads.push(Upload {
                    before: plan.dispatches.len(),
                    host,
                    to: [segment.k, segment.v],
                });
            }
            plan.push(Dispatch {
                kernel: &ATTENTION,
                variant: variant.declared(),
                format: None,
                overrides: kv.overrides_for(shape.head_dim),
                params: bytemuck::bytes_of(&params).to_vec(),
                buffers: vec![self.qkv, segment.k, segment.v, self.partials, self.out],
                workgroups: [
                    rows.div_ceil(variant.rows_per_workgroup()),
                    shape.kv_heads,
                    splits,
                ],
            });
        }
    }
}

/// Whether the last segment's dispatch stores the output itself. The variants for CPUs do, where
/// there is one split, no f16 tail, and no transform of values.
fn writes_output(caps: &Capabilities, shape: AttentionShape, kv: KvFormat, chunk: u32) -> bool {
    let [_, v_block] = kv.blocks(shape.head_dim);
    caps.cpu && splits(caps, shape, chunk) == 1 && !kv.has_f16_tail() && v_block == 1
}

/// Each cached key and value that some token attends to is read once. A score and a value take a
/// multiply-add for each float.
fn cost(d: &Dispatch, step: Step) -> Cost {
    let p: Params = d.params();
    let visible_slots = |token: u32| {
        let end = step.position + token + 1;
        u64::from(end.saturating_sub(p.segment_start).min(p.segment_len))
    };
    let slots_read = step.count.checked_sub(1).map_or(0, visible_slots);
    let cached = slots_read * u64::from(p.kv_heads * (p.k_words + p.v_words));
    let floats = u64::from(step.count) * u64::from(p.heads * p.head_dim);
    let scores = (0..step.count).map(visible_slots).sum::<u64>();
    Cost {
        shape: [p.heads, p.kv_heads, p.head_dim],
        bytes: 4 * (cached + 2 * floats),
        flops: 4 * scores * u64::from(p.heads * p.head_dim),
    }
}

fn extents(d: &Dispatch, step: Step) -> Vec<u64> {
    let p: Params = d.params();
    let is_decode = d.variant.defines.contains(&"DECODE");
    let tokens = if is_decode { 1 } else { u64::from(step.count) };
    let heads = u64::from(p.heads);
    let floats = heads * u64::from(p.head_dim);
    let slots = u64::from(p.segment_len) * u64::from(p.kv_heads);
    let partials = u64::from(p.splits) * tokens * heads * u64::from(p.head_dim + 2);
    let uses_partials = p.write_output == 0 || p.is_first_segment == 0;
    vec![
        tokens.saturating_sub(1) * u64::from(p.q_stride) + floats,
        slots * u64::from(p.k_words),
        slots * u64::from(p.v_words),
        if uses_partials { partials } else { 0 },
        if p.write_output == 1 {
            tokens * floats
        } else {
            0
        },
    ]
}
