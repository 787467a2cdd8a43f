// Exact causal attention over one segment of the KV cache, with a running maximum and a running sum
// (Milakov and Gimelshein 2018; FlashAttention, Dao et al. 2022).
//
// A row is a (token, query head) pair. Workgroup (x, y, z) takes the x-th block of rows that share
// KV head y, and KV split z of the segment's slots. Each variant documents how it partitions its
// rows and slots among invocations.
//
// A row's partial is head_dim floats of `acc`, the sum of values by weight; `row_max`, the largest
// score; and `row_sum`, the sum of weights. Layout: [split, kv_head, row, head_dim + 2]. A later
// segment continues from the partials of the earlier ones.
#import kernels/shared/step.wgsl

struct Params {
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    splits: u32,           // KV splits
    segment_start: u32,    // position of the segment's first slot
    segment_len: u32,      // slots in the segment
    scale: f32,            // of scores
    is_first_segment: u32, // 1: partials begin here; 0: they continue
    k_words: u32,          // words of a cached key
    v_words: u32,          // words of a cached value
    q_stride: u32,         // floats from one token's queries to the next token's
    tail_block: u32,       // positions of a tail block, which `attention_tail` handles; 1: none
    write_output: u32,     // 1: nothing follows, so the output is stored instead of partials
    // Always 1. Opaque to the compiler, so loops that step by it are not unrolled.
    one: u32,
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
@group(0) @binding(5) var<storage, read_write> partials: array<f32>;
@group(0) @binding(6) var<storage, read_write> out: array<vec4<f32>>;

#import kv/kv.wgsl
#import kernels/attention/kv_splits.wgsl

override K_PER_WORD: u32 = 2; // floats of a key in a 32-bit word
override V_PER_WORD: u32 = 2; // floats of a value in a 32-bit word

// Pipelines are compiled for one head length, so loops over it unroll and divisions by it fold.
override HEAD_DIM: u32 = 128u;

const MASKED_SCORE = -1e30;

// Slots of the segment that a row may attend to: up to its own position or, where there is an f16
// tail, up to its tail block.
fn visible_slots(row: u32) -> u32 {
    let position = step_.position + row / (p.heads / p.kv_heads);
    let end = select(position + 1u, position / p.tail_block * p.tail_block, p.tail_block > 1u);
    return select(0u, end - p.segment_start, end > p.segment_start);
}

// Slots from `begin` on, below `end`.
struct Slots { begin: u32, end: u32 }

// The slots of this split that rows up to `last_row` may attend to.
fn split_slots(split: u32, last_row: u32) -> Slots {
    let length = min(visible_slots(last_row), p.segment_len);
    let size = split_size(length, p.splits);
    let begin = min(split * size, length);
    return Slots(begin, min(begin + size, length));
}

// Four floats of one row's partial.
fn load_partial4(at: u32) -> vec4<f32> {
    return vec4<f32>(partials[at], partials[at + 1u], partials[at + 2u], partials[at + 3u]);
}

fn store_partial4(at: u32, v: vec4<f32>) {
    partials[at] = v.x;
    partials[at + 1u] = v.y;
    partials[at + 2u] = v.z;
    partials[at + 3u] = v.w;
}

// One float of each of four rows' partials.
fn load_row_partials(at: vec4<u32>) -> vec4<f32> {
    return vec4<f32>(partials[at.x], partials[at.y], partials[at.z], partials[at.w]);
}

#ifdef CPU_ALGORITHM
#import kernels/attention/load_kv.wgsl
#import kernels/attention/cpu/cpu.wgsl
#endif
#ifdef PREFILL
#import kernels/attention/load_kv.wgsl
#import kernels/attention/prefill/prefill.wgsl
#endif
#ifdef PREFILL_COOP
#import kernels/attention/load_kv.wgsl
#import kernels/attention/prefill_coop/prefill_coop.wgsl
#endif
#ifdef DECODE
#import kernels/attention/decode/decode.wgsl
#endif
