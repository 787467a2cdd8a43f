// y[t, first + r] (+)= sum over k of W[r, k] x[t, k]
//
// vector: one row and one token for each invocation; SPLITS invocations share the row's groups, to fill a GPU.
// ROWS:   eight rows, one token: x is loaded once for all of them. For devices where loads are what costs.
// BLOCK:  eight rows, four tokens: weights are dequantised once for the tokens, x loaded once for the rows.
// The eight rows are the same row of eight tiles, so that neighbouring invocations still read neighbouring words.
#import step
#import group

struct Params {
    groups: u32,   // of 32 weights in a row
    rows: u32,     // in this shard
    first: u32,    // row of the matrix that the shard begins with
    y_width: u32,  // floats from one token's y to the next's
    x_first: u32,  // the first token's row in x
    tokens: u32,   // at most; 0: as many as the step says
    add: u32,      // 1: add to y
    tiles: u32,    // workgroups in the first dispatch dimension
    row_words: u32,
    reserved0: u32, reserved1: u32, reserved2: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(2) var<storage, read> weights: array<u32>;
@group(0) @binding(3) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

#import format

override SPLITS: u32 = 1;

#ifdef MANY_ROWS
const TILES = 8u;
#else
const TILES = 1u;
var<workgroup> sums: array<f32, 32 * SPLITS>;
#endif

fn load_x(at: u32) -> Group {
    return Group(x[at], x[at + 1u], x[at + 2u], x[at + 3u], x[at + 4u], x[at + 5u], x[at + 6u], x[at + 7u]);
}

fn dot_group(w: Group, v: Group) -> f32 {
    var sum = w.a * v.a;
    sum = fma(w.b, v.b, sum);
    sum = fma(w.c, v.c, sum);
    sum = fma(w.d, v.d, sum);
    sum = fma(w.e, v.e, sum);
    sum = fma(w.f, v.f, sum);
    sum = fma(w.g, v.g, sum);
    sum = fma(w.h, v.h, sum);
    return (sum.x + sum.y) + (sum.z + sum.w);
}

// Groups in a row. Lavapipe specialises a kernel to uniforms that alone end a loop or decide a branch, and where that changes the
// code much it compiles anew at every dispatch and keeps it all. A bound that is not of uniforms alone is left be.
fn row_groups() -> u32 {
    return min(p.groups, arrayLength(&weights));
}

fn store(token: u32, tokens: u32, row: u32, value: f32) {
    if token < tokens && row < p.rows {
        let at = token * p.y_width + p.first + row;
        // No branch: see row_groups.
        y[at] = value + select(0.0, y[at], p.add == 1u);
    }
}

#ifdef BLOCK
fn dot_tokens(w: Group, v0: Group, v1: Group, v2: Group, v3: Group) -> vec4<f32> {
    return vec4<f32>(dot_group(w, v0), dot_group(w, v1), dot_group(w, v2), dot_group(w, v3));
}

fn store_tokens(token: u32, tokens: u32, row: u32, values: vec4<f32>) {
    store(token, tokens, row, values.x);
    store(token + 1u, tokens, row, values.y);
    store(token + 2u, tokens, row, values.z);
    store(token + 3u, tokens, row, values.w);
}
#endif

// First word of this invocation's row in a tile; a tile beyond the end reads what is last there, and stores nothing.
fn base_of(tile: u32, lane: u32) -> u32 {
    return min(tile, (p.rows - 1u) / 32u) * p.row_words * 32u + lane;
}

@compute @workgroup_size(32, SPLITS, 1)
fn matmul(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let tile = (group.x + group.y * p.tiles) * TILES;
    let row = tile * 32u + local.x;
    let tokens = select(p.tokens, step_.count, p.tokens == 0u);
    let width = p.groups * 8u;
    let groups = row_groups();
#ifdef MANY_ROWS
    let b0 = base_of(tile, local.x);
    let b1 = base_of(tile + 1u, local.x);
    let b2 = base_of(tile + 2u, local.x);
    let b3 = base_of(tile + 3u, local.x);
    let b4 = base_of(tile + 4u, local.x);
    let b5 = base_of(tile + 5u, local.x);
    let b6 = base_of(tile + 6u, local.x);
    let b7 = base_of(tile + 7u, local.x);
#endif
#ifdef ROWS
    let at = p.x_first * width;
    var low = vec4<f32>();
    var high = vec4<f32>();
    for (var g = 0u; g < groups; g++) {
        let v = load_x(at + g * 8u);
        low += vec4<f32>(
            dot_group(load_group(b0, g), v), dot_group(load_group(b1, g), v),
            dot_group(load_group(b2, g), v), dot_group(load_group(b3, g), v),
        );
        high += vec4<f32>(
            dot_group(load_group(b4, g), v), dot_group(load_group(b5, g), v),
            dot_group(load_group(b6, g), v), dot_group(load_group(b7, g), v),
        );
    }
    store(0u, tokens, row, low.x);
    store(0u, tokens, row + 32u, low.y);
    store(0u, tokens, row + 64u, low.z);
    store(0u, tokens, row + 96u, low.w);
    store(0u, tokens, row + 128u, high.x);
    store(0u, tokens, row + 160u, high.y);
    store(0u, tokens, row + 192u, high.z);
    store(0u, tokens, row + 224u, high.w);
#endif
#ifdef BLOCK
    let token = group.z * 4u;
    if token >= tokens {
        return;
    }
    let last = tokens - 1u;
    let x0 = (p.x_first + token) * width;
    let x1 = (p.x_first + min(token + 1u, last)) * width;
    let x2 = (p.x_first + min(token + 2u, last)) * width;
    let x3 = (p.x_first + min(token + 3u, last)) * width;
    var a0 = vec4<f32>();
    var a1 = vec4<f32>();
    var a2 = vec4<f32>();
    var a3 = vec4<f32>();
    var a4 = vec4<f32>();
    var a5 = vec4<f32>();
    var a6 = vec4<f32>();
    var a7 = vec4<f32>();
    for (var g = 0u; g < groups; g++) {
        let v0 = load_x(x0 + g * 8u);
        let v1 = load_x(x1 + g * 8u);
        let v2 = load_x(x2 + g * 8u);
        let v3 = load_x(x3 + g * 8u);
        a0 += dot_tokens(load_group(b0, g), v0, v1, v2, v3);
        a1 += dot_tokens(load_group(b1, g), v0, v1, v2, v3);
        a2 += dot_tokens(load_group(b2, g), v0, v1, v2, v3);
        a3 += dot_tokens(load_group(b3, g), v0, v1, v2, v3);
        a4 += dot_tokens(load_group(b4, g), v0, v1, v2, v3);
        a5 += dot_tokens(load_group(b5, g), v0, v1, v2, v3);
        a6 += dot_tokens(load_group(b6, g), v0, v1, v2, v3);
        a7 += dot_tokens(load_group(b7, g), v0, v1, v2, v3);
    }
    store_tokens(token, tokens, row, a0);
    store_tokens(token, tokens, row + 32u, a1);
    store_tokens(token, tokens, row + 64u, a2);
    store_tokens(token, tokens, row + 96u, a3);
    store_tokens(token, tokens, row + 128u, a4);
    store_tokens(token, tokens, row + 160u, a5);
    store_tokens(token, tokens, row + 192u, a6);
    store_tokens(token, tokens, row + 224u, a7);
#endif
#ifdef VECTOR
    let base = base_of(tile, local.x);
    let at = p.x_first * width;
    var sum = 0.0;
    for (var g = local.y; g < groups; g += SPLITS) {
        sum += dot_group(load_group(base, g), load_x(at + g * 8u));
    }
    if SPLITS > 1u {
        sums[local.y * 32u + local.x] = sum;
        workgroupBarrier();
        for (var s = 1u; s < SPLITS; s++) {
            sum += select(0.0, sums[s * 32u + local.x], local.y == 0u);
        }
    }
    if local.y == 0u {
        store(0u, tokens, row, sum);
    }
#endif
}
