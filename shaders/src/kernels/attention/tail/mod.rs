//! Causal attention of each token over its own page, whose keys and values are kept as halves.

#[cfg(feature = "testing")]
mod cases;
#[cfg(feature = "testing")]
mod reference;

use crate::kernel::{Cost, Kernel, Step, Variant, read, write};
use crate::kv::{AttentionShape, PAGE, Recent};
use crate::params;
use crate::plan::{BufferRef, Dispatch, Plan};

params! {
    /// Query heads.
    heads: u32,
    /// KV heads.
    kv_heads: u32,
    /// Floats in a head.
    head_dim: u32,
    /// Positions of a page.
    page: u32,
    /// Positions in a ring; a multiple of `page`.
    ring: u32,
    /// What scores are multiplied by: `1 / sqrt(head_dim)`.
    scale: f32,
    /// Floats from one token's queries to the next's.
    q_width: u32,
    /// Padding to 16 bytes.
    reserved: u32,
}

/// The kernel.
pub static ATTENTION_TAIL: Kernel = Kernel {
    name: "attention_tail",
    summary: "goes on from attend's states over each token's own page",
    wgsl: include_str!("tail.wgsl"),
    weights: false,
    params: Params::FIELDS,
    params_bytes: size_of::<Params>(),
    bindings: &[read("q"), read("recent"), write("states")],
    overrides: &[],
    variants: &[Variant::base("base", &[])],
    cost,
    extents,
    #[cfg(feature = "testing")]
    reference: reference::attention_tail,
    #[cfg(feature = "testing")]
    cases: cases::cases,
};

/// Records attention of the queries that `qkv` `[tokens, heads + 2 kv_heads, head_dim]` begins with over each token's own page,
/// in the first split of the `states` that [`attention`](crate::kernels::attention::attend) left; nothing where the cache keeps no halves.
pub fn attention_tail(
    plan: &mut Plan,
    heads: AttentionShape,
    qkv: BufferRef,
    recent: Recent,
    states: BufferRef,
    chunk: u32,
) {
    if recent.len == 0 {
        return;
    }
    let params = params(heads, recent.len);
    plan.push(Dispatch {
        kernel: &ATTENTION_TAIL,
        variant: &ATTENTION_TAIL.variants[0],
        format: None,
        overrides: Vec::new(),
        params: bytemuck::bytes_of(&params).to_vec(),
        buffers: vec![qkv, recent.buffer, states],
        workgroups: [chunk, heads.kv_heads, 1],
    });
}

fn params(heads: AttentionShape, ring: u32) -> Params {
    let AttentionShape { heads, kv_heads, head_dim } = heads;
    let scale = 1.0 / (head_dim as f32).sqrt();
    let q_width = (heads + 2 * kv_heads) * head_dim;
    Params { heads, kv_heads, head_dim, page: PAGE, ring, scale, q_width, reserved: 0 }
}

fn cost(d: &Dispatch, step: Step) -> Cost {
    let p: Params = d.params();
    let (tokens, seen) = (u64::from(step.count), u64::from(PAGE / 2));
    Cost {
        shape: [p.heads, p.kv_heads, p.head_dim],
        bytes: 4 * tokens * (seen * u64::from(p.kv_heads * p.head_dim) + 3 * u64::from(p.heads * p.head_dim)),
        flops: 4 * tokens * seen * u64::from(p.heads * p.head_dim),
    }
}

fn extents(d: &Dispatch, step: Step) -> Vec<u64> {
    let p: Params = d.params();
    let tokens = u64::from(step.count.min(d.workgroups[0]));
    let floats = u64::from(p.heads) * u64::from(p.head_dim);
    vec![
        tokens.saturating_sub(1) * u64::from(p.q_width) + floats,
        u64::from(p.ring) * u64::from(p.kv_heads) * u64::from(p.head_dim),
        u64::from(step.count) * u64::from(p.heads) * u64::from(p.head_dim + 2),
    ]
}
