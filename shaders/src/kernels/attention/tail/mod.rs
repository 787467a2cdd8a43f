//! Causal attention of each token over its own tail block, whose keys and values are kept in f16.

#[cfg(feature = "testing")]
mod cases;
#[cfg(feature = "testing")]
mod reference;

use crate::buffers::BufferRef;
use crate::kernel::Dispatch;
use crate::kernel::params;
use crate::kernel::{Cost, Kernel, Step, Variant, read, write};
use crate::kv::{AttentionShape, F16Tail, TAIL_BLOCK};
use crate::plan::Plan;

params! {
    /// Query heads.
    heads: u32,
    /// KV heads.
    kv_heads: u32,
    /// Floats in a head.
    head_dim: u32,
    /// Positions of a tail block.
    tail_block: u32,
    /// Positions in the f16 tail; a multiple of `tail_block`.
    tail_len: u32,
    /// Factor of scores: `1 / sqrt(head_dim)`.
    scale: f32,
    /// Floats from one token's queries to the next token's.
    q_stride: u32,
    /// Padding to 16 bytes.
    reserved: u32,
}

/// The kernel.
pub static ATTENTION_TAIL: Kernel = Kernel {
    name: "attention_tail",
    summary: "continues attention's partials over each token's own tail block",
    wgsl: include_str!("tail.wgsl"),
    weights: false,
    params: Params::FIELDS,
    params_bytes: size_of::<Params>(),
    bindings: &[read("q"), read("f16_tail"), write("partials")],
    overrides: &[],
    variants: &[Variant::base("base", &[])],
    cost,
    extents,
    #[cfg(feature = "testing")]
    reference: reference::attention_tail,
    #[cfg(feature = "testing")]
    cases: cases::cases,
};

/// Attention of a pass's queries over each token's own tail block.
#[derive(Clone, Copy, Debug)]
pub struct AttentionTail {
    /// The shape of attention.
    pub shape: AttentionShape,
    /// `[tokens, heads + 2 kv_heads, head_dim]`, of which the queries are read.
    pub qkv: BufferRef,
    /// The layer's f16 tail.
    pub tail: F16Tail,
    /// As [`Attention`](super::Attention) left them; the first split's are continued.
    pub partials: BufferRef,
    /// Tokens of the pass, at most.
    pub chunk: u32,
}

impl AttentionTail {
    /// Records the dispatch; none where the cache has no f16 tail.
    pub fn record(&self, plan: &mut Plan) {
        let Self { shape, tail, .. } = *self;
        if tail.len == 0 {
            return;
        }
        plan.push(Dispatch {
            kernel: &ATTENTION_TAIL,
            variant: &ATTENTION_TAIL.variants[0],
            format: None,
            overrides: Vec::new(),
            params: bytemuck::bytes_of(&params(shape, tail.len)).to_vec(),
            buffers: vec![self.qkv, tail.buffer, self.partials],
            workgroups: [self.chunk, shape.kv_heads, 1],
        });
    }
}

fn params(shape: AttentionShape, tail_len: u32) -> Params {
    Params {
        heads: shape.heads,
        kv_heads: shape.kv_heads,
        head_dim: shape.head_dim,
        tail_block: TAIL_BLOCK,
        tail_len,
        scale: shape.score_scale(),
        q_stride: shape.qkv_width(),
        reserved: 0,
    }
}

/// A token attends to half of its tail block on average.
fn cost(d: &Dispatch, step: Step) -> Cost {
    let p: Params = d.params();
    let tokens = u64::from(step.count);
    let positions = u64::from(TAIL_BLOCK / 2);
    let kv_floats = u64::from(p.kv_heads * p.head_dim);
    let q_floats = u64::from(p.heads * p.head_dim);
    Cost {
        shape: [p.heads, p.kv_heads, p.head_dim],
        bytes: 4 * tokens * (positions * kv_floats + 3 * q_floats),
        flops: 4 * tokens * positions * q_floats,
    }
}

fn extents(d: &Dispatch, step: Step) -> Vec<u64> {
    let p: Params = d.params();
    let tokens = u64::from(step.count.min(d.workgroups[0]));
    let heads = u64::from(p.heads);
    let head_dim = u64::from(p.head_dim);
    vec![
        tokens.saturating_sub(1) * u64::from(p.q_stride) + heads * head_dim,
        u64::from(p.tail_len) * u64::from(p.kv_heads) * head_dim,
        u64::from(step.count) * heads * (head_dim + 2),
    ]
}
