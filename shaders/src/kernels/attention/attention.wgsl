// Exact causal attention of a tile of queries over one segment of the KV cache, by running maximum
// and sum (Milakov and Gimelshein 2018; Dao et al. 2022). A row is a (token, query head) pair; a
// workgroup takes ROWS rows that share a KV head, and one of the splits of the segment's positions.
//
// What is known so far of a row is a state: head_dim weighted sums of values, the largest score,
// the sum of weights. Later segments go on from the state of the earlier ones.
#import kernels/shared/step.wgsl

struct Params {
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    splits: u32,
    first: u32,    // position that the segment begins with
    len: u32,      // positions in the segment
    scale: f32,    // of the scores
    fresh: u32,    // 1: the first segment; states begin here
    k_words: u32,  // of a cached vector
    v_words: u32,
    q_width: u32,  // floats from one token's queries to the next's
    page: u32,     // positions that another kernel sees to: those of a row's own page; 1: none
    finish: u32,   // 1: nothing is to come after this; the result is stored instead of states
    one: u32,      // 1, which no compiler knows
    reserved0: u32, reserved1: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(2) var<storage, read> q: array<vec4<f32>>;
#ifdef DECODE
@group(0) @binding(3) var<storage, read> k_cache: array<vec4<u32>>;
#else
@group(0) @binding(3) var<storage, read> k_cache: array<u32>;
#endif
@group(0) @binding(4) var<storage, read> v_cache: array<u32>;
@group(0) @binding(5) var<storage, read_write> states: array<f32>;
@group(0) @binding(6) var<storage, read_write> y: array<vec4<f32>>;

#import kv/kv.wgsl
#import kernels/attention/splits.wgsl

override K_VALUES: u32 = 2; // floats in a word
override V_VALUES: u32 = 2;

// Kernels are compiled for the length of a head: then loops unroll, and no scale's place takes a
// division.
override HEAD_DIM: u32 = 128u;

const NEVER = -1e30; // the score of what may not be seen

// How many of the segment's positions a row may see: up to its own, or, with pages, up to where its
// own page begins.
fn seen_by(row: u32) -> u32 {
    let position = step_.position + row / (p.heads / p.kv_heads);
    let visible = select(position + 1u, position / p.page * p.page, p.page > 1u);
    return select(0u, visible - p.first, visible > p.first);
}

// Slots of the segment from `begin` on, below `end`.
struct Slots { begin: u32, end: u32 }

// Those that a split has of what rows up to `last_row` may see.
fn slots_of(split: u32, last_row: u32) -> Slots {
    let length = min(seen_by(last_row), p.len);
    let share = share_of(length, p.splits);
    let begin = min(split * share, length);
    return Slots(begin, min(begin + share, length));
}

// Four floats of a row's state.
fn state4(at: u32) -> vec4<f32> {
    return vec4<f32>(states[at], states[at + 1u], states[at + 2u], states[at + 3u]);
}

fn put_state4(at: u32, v: vec4<f32>) {
    states[at] = v.x;
    states[at + 1u] = v.y;
    states[at + 2u] = v.z;
    states[at + 3u] = v.w;
}

// A float of each of four rows' states.
fn rows_at(at: vec4<u32>) -> vec4<f32> {
    return vec4<f32>(states[at.x], states[at.y], states[at.z], states[at.w]);
}

#ifdef CPU_ALGORITHM
#import kernels/attention/cached.wgsl
#import kernels/attention/cpu/cpu.wgsl
#endif
#ifdef PREFILL
#import kernels/attention/cached.wgsl
#import kernels/attention/prefill/prefill.wgsl
#endif
#ifdef PREFILL_COOP
#import kernels/attention/cached.wgsl
#import kernels/attention/prefill_coop/prefill_coop.wgsl
#endif
#ifdef DECODE
#import kernels/attention/decode/decode.wgsl
#endif
