// y[t, first + r] (+)= sum over k of W[r, k] x[t, k]
//
// An invocation computes one row for TOKENS tokens: it dequantises a group of weights once and uses it for each of them.
// `SPLITS` invocations share the row's groups where one token alone leaves the device idle.
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
    tiles: u32,    // row tiles in one dispatch dimension
    row_words: u32,
    reserved0: u32, reserved1: u32, reserved2: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(2) var<storage, read> weights: array<u32>;
@group(0) @binding(3) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

#import format

override SPLITS: u32 = 1;

#ifdef TILE
const TOKENS = 8u;
#else
const TOKENS = 1u;
var<workgroup> sums: array<f32, 32 * SPLITS>;
#endif

fn dot_group(w: Group, at: u32) -> f32 {
    var sum = w.a * x[at];
    sum = fma(w.b, x[at + 1u], sum);
    sum = fma(w.c, x[at + 2u], sum);
    sum = fma(w.d, x[at + 3u], sum);
    sum = fma(w.e, x[at + 4u], sum);
    sum = fma(w.f, x[at + 5u], sum);
    sum = fma(w.g, x[at + 6u], sum);
    sum = fma(w.h, x[at + 7u], sum);
    return (sum.x + sum.y) + (sum.z + sum.w);
}

fn store(token: u32, tokens: u32, row: u32, value: f32) {
    if token < tokens && row < p.rows {
        let at = token * p.y_width + p.first + row;
        if p.add == 1u {
            y[at] += value;
        } else {
            y[at] = value;
        }
    }
}

@compute @workgroup_size(32, SPLITS, 1)
fn matmul(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let tile = group.x + group.y * p.tiles;
    let row = tile * 32u + local.x;
    let tokens = select(p.tokens, step_.count, p.tokens == 0u);
    let token = group.z * TOKENS;
    // Tiles and tokens beyond the end read what is last there, and store nothing.
    let base = min(tile, (p.rows - 1u) / 32u) * p.row_words * 32u + local.x;
    let width = p.groups * 8u;
#ifdef TILE
    if token >= tokens {
        return;
    }
    let last = tokens - 1u;
    let x0 = (p.x_first + token) * width;
    let x1 = (p.x_first + min(token + 1u, last)) * width;
    let x2 = (p.x_first + min(token + 2u, last)) * width;
    let x3 = (p.x_first + min(token + 3u, last)) * width;
    let x4 = (p.x_first + min(token + 4u, last)) * width;
    let x5 = (p.x_first + min(token + 5u, last)) * width;
    let x6 = (p.x_first + min(token + 6u, last)) * width;
    let x7 = (p.x_first + min(token + 7u, last)) * width;
    var low = vec4<f32>();
    var high = vec4<f32>();
    for (var g = 0u; g < p.groups; g++) {
        let w = load_group(base, g);
        let k = g * 8u;
        low += vec4<f32>(dot_group(w, x0 + k), dot_group(w, x1 + k), dot_group(w, x2 + k), dot_group(w, x3 + k));
        high += vec4<f32>(dot_group(w, x4 + k), dot_group(w, x5 + k), dot_group(w, x6 + k), dot_group(w, x7 + k));
    }
    store(token, tokens, row, low.x);
    store(token + 1u, tokens, row, low.y);
    store(token + 2u, tokens, row, low.z);
    store(token + 3u, tokens, row, low.w);
    store(token + 4u, tokens, row, high.x);
    store(token + 5u, tokens, row, high.y);
    store(token + 6u, tokens, row, high.z);
    store(token + 7u, tokens, row, high.w);
#else
    let x0 = (p.x_first + token) * width;
    var sum = 0.0;
    for (var g = local.y; g < p.groups; g += SPLITS) {
        sum += dot_group(load_group(base, g), x0 + g * 8u);
    }
    if SPLITS > 1u {
        sums[local.y * 32u + local.x] = sum;
        workgroupBarrier();
        for (var s = 1u; s < SPLITS; s++) {
            sum += select(0.0, sums[s * 32u + local.x], local.y == 0u);
        }
    }
    if local.y == 0u {
        store(token, tokens, row, sum);
    }
#endif
}
