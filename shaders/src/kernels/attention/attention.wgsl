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
//
// With PAGED (kernel `attention_paged`) rows are those of a batch, whose sequences share a paged
// cache, and workgroups take work items in place of splits: `paged/paged.wgsl`.
#import kernels/shared/step.wgsl
#ifdef PAGED
#import kernels/shared/batch.wgsl
#endif

struct Params {
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
#ifdef PAGED
    segment: u32,          // index of the segment
    segment_start: u32,    // the segment's first slot, counted over all segments
#else
    splits: u32,           // KV splits
    segment_start: u32,    // position of the segment's first slot
#endif
    segment_len: u32,      // slots in the segment
    scale: f32,            // of scores
#ifdef PAGED
    token_partials: u32,   // token partials that `partials` holds
#else
    is_first_segment: u32, // 1: partials begin here; 0: they continue
#endif
    k_words: u32,          // words of a cached key
    v_words: u32,          // words of a cached value
    q_stride: u32,         // floats from one token's queries to the next token's
#ifdef PAGED
    page_entries: u32,     // entries of the list of pages
#else
    tail_block: u32,       // positions of a tail block, which `attention_tail` handles; 1: none
#endif
    write_output: u32,     // 1: nothing follows, so the output is stored instead of partials
    // Always 1. Opaque to the compiler, so loops that step by it are not unrolled.
    one: u32,
#ifdef PAGED
    cache_slots: u32,      // slots of all segments
    reserved0: u32,
#else
    reserved0: u32, reserved1: u32,
#endif
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
#import kernels/attention/slots.wgsl

override K_PER_WORD: u32 = 2; // floats of a key in a 32-bit word
override V_PER_WORD: u32 = 2; // floats of a value in a 32-bit word

// Pipelines are compiled for one head length, so loops over it unroll and divisions by it fold.
override HEAD_DIM: u32 = 128u;

const MASKED_SCORE = -1e30;

#ifdef PAGED
#import kernels/attention/paged/paged.wgsl
#else
#import kernels/attention/kv_splits.wgsl

// A workgroup's part of the positions: a KV split.
alias Work = u32;

fn work_of(group: vec3<u32>) -> Work {
    return group.z;
}

fn has_work(group: vec3<u32>, split: Work) -> bool {
    return split < splits_in_use(p.splits);
}

fn first_row_of(group: vec3<u32>, rows_per_workgroup: u32) -> u32 {
    return group.x * rows_per_workgroup;
}

fn rows_of(split: Work) -> u32 {
    return step_.count * (p.heads / p.kv_heads);
}

// Whether partials continue from those of an earlier dispatch.
fn continues_partials() -> bool {
    return p.is_first_segment == 0u;
}

// Slots of the segment that a row may attend to: up to its own position or, where there is an f16
// tail, up to its tail block.
fn visible_slots(split: Work, row: u32) -> u32 {
    let position = step_.position + row / (p.heads / p.kv_heads);
    let end = select(position + 1u, position / p.tail_block * p.tail_block, p.tail_block > 1u);
    return select(0u, end - p.segment_start, end > p.segment_start);
}

// The slots of this split that rows up to `last_row` may attend to.
fn work_slots(split: Work, last_row: u32) -> Slots {
    let length = min(visible_slots(split, last_row), p.segment_len);
    let size = split_size(length, p.splits);
    let begin = min(split * size, length);
    return Slots(begin, min(begin + size, length));
}

// The rows of `q` and `out` of four tokens.
fn tokens_of(split: Work, token: vec4<u32>) -> vec4<u32> {
    return token;
}

// The index of the partial of each of four rows.
fn partials_of(split: Work, kv_head: u32, rows: u32, row: vec4<u32>) -> vec4<u32> {
    return ((split * p.kv_heads + kv_head) * rows + row) * (HEAD_DIM + 2u);
}
#endif

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
