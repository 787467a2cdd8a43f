//! Causal attention over the KV cache, one segment at a time, and the merge of what its parts found.

#[cfg(feature = "testing")]
mod cases;
pub mod combine;
#[cfg(feature = "testing")]
mod reference;
pub mod tail;

use crate::capabilities::Capabilities;
use crate::kernel::{Cost, Kernel, Step, Variant, read, write};
use crate::kv::{AttentionShape, KvFormat, Segment};
use crate::params;
use crate::plan::{BufferRef, Dispatch, Plan, Upload};

params! {
    /// Query heads.
    heads: u32,
    /// KV heads.
    kv_heads: u32,
    /// Floats in a head.
    head_dim: u32,
    /// Workgroups that share a row's positions.
    splits: u32,
    /// Position that the segment begins with.
    first: u32,
    /// Positions in the segment.
    len: u32,
    /// What scores are multiplied by: `1 / sqrt(head_dim)`.
    scale: f32,
    /// 1: states begin here; 0: they go on from the segment before.
    fresh: u32,
    /// Words of a cached key.
    k_words: u32,
    /// Words of a cached value.
    v_words: u32,
    /// Floats from one token's queries to the next's.
    q_width: u32,
    /// Positions of a page: a row sees those before its own page. 1: a row sees its own position too.
    page: u32,
    /// 1: nothing comes after this: the result is stored, and no states.
    finish: u32,
    /// 1, which no compiler knows: a loop that steps by it stays one.
    one: u32,
    /// Padding to 16 bytes.
    reserved0: u32,
    /// Padding.
    reserved1: u32,
}

/// A split takes a multiple of so many positions.
const SHARE: u32 = 256;
/// Rows of a KV head that are few for a CPU.
const FEW_ROWS: u32 = 8;
/// Rows of a workgroup of each variant.
pub const ROWS: [u32; 7] = [4, 32, 32, 16, 4, 4, 128];
/// The variants for few rows on a CPU, and for many, without and with subgroups of eight.
const FEW: usize = 0;
const BLOCK: usize = 1;
const BLOCK_SPREAD: usize = 2;
/// The variants for many tokens on a GPU, for one, with subgroups of 32 and without, and for many with matrix units.
const PREFILL: usize = 3;
const DECODE: usize = 4;
const DECODE32: usize = 5;
const MATRIX: usize = 6;

/// The kernel.
pub static ATTENTION: Kernel = Kernel {
    name: "attention",
    summary: "running softmax(q k^T) v over one segment of the KV cache",
    wgsl: include_str!("attention.wgsl"),
    weights: false,
    params: Params::FIELDS,
    params_bytes: size_of::<Params>(),
    bindings: &[read("q"), read("k_cache"), read("v_cache"), write("states"), write("y")],
    overrides: &["K_VALUES", "V_VALUES", "HEAD_DIM"],
    variants: &[
        Variant::base("few", &["CPU", "CPU_ALGORITHM", "FEW_ROWS"]),
        Variant::base("block", &["CPU", "CPU_ALGORITHM"]),
        Variant::subgroups8_int64("block_spread", &["CPU", "CPU_ALGORITHM", "SUBGROUP_BROADCAST"]),
        Variant::base("prefill", &["PREFILL"]),
        Variant::base("decode", &["DECODE"]),
        Variant::subgroups32("decode32", &["DECODE", "SUBGROUPS", "PREFETCH"]),
        Variant::cooperative_matrix32("matrix", &["PREFILL_COOP"]),
    ],
    cost,
    extents,
    #[cfg(feature = "testing")]
    reference: reference::attention,
    #[cfg(feature = "testing")]
    cases: cases::cases,
};

/// Workgroups that share a row's positions: enough to keep the device busy, however few rows there are.
pub fn splits(caps: &Capabilities, heads: AttentionShape, chunk: u32) -> u32 {
    let rows = chunk * (heads.heads / heads.kv_heads);
    let tiles = rows.div_ceil(ROWS[variant(caps, rows, chunk)]);
    let wanted = caps.tuning.workgroups.div_ceil(tiles * heads.kv_heads);
    // Their states fit a binding.
    let bytes_of_one = 4 * u64::from(chunk) * u64::from(heads.heads) * u64::from(heads.head_dim + 2);
    let most = (caps.max_binding / bytes_of_one).max(1);
    wanted.min(u32::try_from(most).unwrap_or(u32::MAX))
}

/// The splits that write their states: `splits_in_use` of the WGSL.
pub(crate) fn splits_in_use(step: Step, splits: u32) -> u32 {
    (step.position + step.count).div_ceil(SHARE).clamp(1, splits)
}

/// The variant for this many rows of a KV head: as few tiles as can be, each as small as can be, so that what is cached is
/// read once.
fn variant(caps: &Capabilities, rows: u32, chunk: u32) -> usize {
    match (caps.cpu, chunk) {
        (true, _) if rows <= FEW_ROWS => FEW,
        (true, _) if caps.subgroups8_int64 => BLOCK_SPREAD,
        (true, _) => BLOCK,
        (false, 1) if caps.subgroups32 => DECODE32,
        (false, 1) => DECODE,
        (false, _) if caps.cooperative_matrix && caps.subgroups32 => MATRIX,
        (false, _) => PREFILL,
    }
}

/// Which variants one token and many use, for people.
pub fn variants(caps: &Capabilities) -> String {
    let name = |tokens| ATTENTION.variants[variant(caps, tokens, tokens)].name;
    format!("decode: {}; prefill: {}", name(1), name(FEW_ROWS + 1))
}

/// The rows of a tile, by how many tiles the rows of a KV head are cut into.
#[cfg(feature = "testing")]
fn rows_of(rows: u32, tiles: u32) -> u32 {
    ROWS.into_iter().find(|tile| rows.div_ceil(*tile) == tiles).unwrap_or(ROWS[0])
}

/// Whether attention is done after the last segment: the variants for CPUs divide by the sums themselves where no other split, no
/// page of halves and no transform is left to see to.
pub(crate) fn finishes(caps: &Capabilities, heads: AttentionShape, kv: KvFormat, chunk: u32) -> bool {
    caps.cpu && splits(caps, heads, chunk) == 1 && kv.page() == 1 && kv.blocks(heads.head_dim)[1] == 1
}

/// Bytes of the states of `chunk` tokens.
pub fn state_bytes(caps: &Capabilities, heads: AttentionShape, chunk: u32) -> u64 {
    let rows = u64::from(splits(caps, heads, chunk)) * u64::from(chunk) * u64::from(heads.heads);
    rows * u64::from(heads.head_dim + 2) * 4
}

/// Records attention of the queries that `qkv` `[tokens, heads + 2 kv_heads, head_dim]` begins with over `segments`, in order of
/// positions; but for each token's own page, where `kv` keeps it as halves:
/// [`attention_tail`](crate::kernels::attention::tail::attention_tail) sees to that. `states` takes
/// [`state_bytes`]; [`attention_combine`](crate::kernels::attention::combine::attention_combine) makes the result of it, `y` `[tokens, heads, head_dim]`,
/// where that is not stored at once.
#[expect(clippy::too_many_arguments, reason = "becomes a struct of named fields")]
pub fn attention(
    plan: &mut Plan,
    caps: &Capabilities,
    heads: AttentionShape,
    kv: KvFormat,
    qkv: BufferRef,
    segments: &[Segment],
    states: BufferRef,
    y: BufferRef,
    chunk: u32,
) {
    let rows = chunk * (heads.heads / heads.kv_heads);
    let variant = variant(caps, rows, chunk);
    let finish = finishes(caps, heads, kv, chunk);
    let [k_words, v_words] = kv.words(heads.head_dim);
    for (i, segment) in segments.iter().enumerate() {
        let params = Params {
            heads: heads.heads,
            kv_heads: heads.kv_heads,
            head_dim: heads.head_dim,
            splits: splits(caps, heads, chunk),
            first: segment.first,
            len: segment.len,
            scale: 1.0 / (heads.head_dim as f32).sqrt(),
            fresh: u32::from(i == 0),
            k_words,
            v_words,
            q_width: (heads.heads + 2 * heads.kv_heads) * heads.head_dim,
            page: kv.page(),
            finish: u32::from(finish && i + 1 == segments.len()),
            one: 1,
            reserved0: 0,
            reserved1: 0,
        };
        if let Some(host) = segment.host {
            plan.uploads.push(Upload { before: plan.dispatches.len(), host, to: [segment.k, segment.v] });
        }
        plan.push(Dispatch {
            kernel: &ATTENTION,
            variant: &ATTENTION.variants[variant],
            format: None,
            overrides: kv.overrides_for(heads.head_dim),
            params: bytemuck::bytes_of(&params).to_vec(),
            buffers: vec![qkv, segment.k, segment.v, states, y],
            workgroups: [rows.div_ceil(ROWS[variant]), heads.kv_heads, params.splits],
        });
    }
}

/// Each cached key and value that some token sees is read once; a score and a value are a multiply-add for each float.
fn cost(d: &Dispatch, step: Step) -> Cost {
    let p: Params = d.params();
    // Positions of the segment that the step's token `t` sees.
    let seen = |t: u32| u64::from((step.position + t + 1).saturating_sub(p.first).min(p.len));
    let cached = step.count.checked_sub(1).map_or(0, seen) * u64::from(p.kv_heads * (p.k_words + p.v_words));
    let floats = u64::from(step.count) * u64::from(p.heads * p.head_dim);
    Cost {
        shape: [p.heads, p.kv_heads, p.head_dim],
        bytes: 4 * (cached + 2 * floats),
        flops: 4 * (0..step.count).map(seen).sum::<u64>() * u64::from(p.heads * p.head_dim),
    }
}

fn extents(d: &Dispatch, step: Step) -> Vec<u64> {
    let p: Params = d.params();
    let tokens = if d.variant.defines.contains(&"DECODE") { 1 } else { u64::from(step.count) };
    let floats = u64::from(p.heads) * u64::from(p.head_dim);
    let slots = u64::from(p.len) * u64::from(p.kv_heads);
    let states = u64::from(p.splits) * tokens * u64::from(p.heads) * u64::from(p.head_dim + 2);
    vec![
        tokens.saturating_sub(1) * u64::from(p.q_width) + floats,
        slots * u64::from(p.k_words),
        slots * u64::from(p.v_words),
        if p.finish == 1 && p.fresh == 1 { 0 } else { states },
        if p.finish == 1 { tokens * floats } else { 0 },
    ]
}
