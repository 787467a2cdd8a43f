//! The end of attention: what the splits of each row found, put together.

#[cfg(feature = "testing")]
mod cases;
#[cfg(feature = "testing")]
mod reference;

use crate::capabilities::Capabilities;
use crate::kernel::{Cost, Kernel, Step, Variant, read, write};
use crate::kernels::attention::{finishes, splits, splits_in_use};
use crate::kv::{AttentionShape, KvFormat};
use crate::params;
use crate::plan::{BufferRef, Dispatch, Plan};

params! {
    /// Query heads.
    heads: u32,
    /// KV heads.
    kv_heads: u32,
    /// Floats in a head.
    head_dim: u32,
    /// Workgroups that shared a row's positions.
    splits: u32,
    /// Block of the Hadamard transform that the cached values went through; 1: none.
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
    summary: "merges the states that attend left",
    wgsl: include_str!("combine.wgsl"),
    weights: false,
    params: Params::FIELDS,
    params_bytes: size_of::<Params>(),
    bindings: &[read("states"), write("y")],
    overrides: &["PARTS"],
    variants: &[Variant::base("base", &[])],
    cost,
    extents,
    #[cfg(feature = "testing")]
    reference: reference::attention_combine,
    #[cfg(feature = "testing")]
    cases: cases::cases,
};

/// Records `y = ` the attention that `states` hold, where [`attention`](crate::kernels::attention::attend) has not stored it already. `y` is
/// `[tokens, heads, head_dim]`.
pub fn attention_combine(
    plan: &mut Plan,
    caps: &Capabilities,
    heads: AttentionShape,
    kv: KvFormat,
    states: BufferRef,
    y: BufferRef,
    chunk: u32,
) {
    if finishes(caps, heads, kv, chunk) {
        return;
    }
    let AttentionShape { heads: query_heads, kv_heads, head_dim } = heads;
    let [_, block] = kv.blocks(head_dim);
    let splits = splits(caps, heads, chunk);
    let (reserved0, reserved1, reserved2) = (0, 0, 0);
    let params = Params { heads: query_heads, kv_heads, head_dim, splits, block, reserved0, reserved1, reserved2 };
    plan.push(Dispatch {
        kernel: &ATTENTION_COMBINE,
        variant: &ATTENTION_COMBINE.variants[0],
        format: None,
        // One part would be enough for few splits, but the transform takes the invocations of two.
        overrides: vec![("PARTS", if splits > 4 { 8 } else { 2 })],
        params: bytemuck::bytes_of(&params).to_vec(),
        buffers: vec![states, y],
        workgroups: [query_heads, chunk, 1],
    });
}

fn cost(d: &Dispatch, step: Step) -> Cost {
    let p: Params = d.params();
    let rows = u64::from(step.count) * u64::from(p.heads);
    let splits = splits_in_use(step, p.splits);
    let states = rows * u64::from(splits) * u64::from(p.head_dim + 2);
    Cost {
        shape: [p.heads, p.head_dim, p.splits],
        bytes: 4 * (states + rows * u64::from(p.head_dim)),
        flops: 4 * states,
    }
}

fn extents(d: &Dispatch, step: Step) -> Vec<u64> {
    let p: Params = d.params();
    let states = u64::from(p.splits) * u64::from(step.count) * u64::from(p.heads) * u64::from(p.head_dim + 2);
    let tokens = step.count.min(d.workgroups[1]);
    vec![states, u64::from(tokens) * u64::from(p.heads) * u64::from(p.head_dim)]
}
