// x[t] = W[token[t]]. An invocation computes one group of 32 weights. Rows of x whose tokens lie
// outside the shard stay as they are.
//
// The token CHOSEN | i is the one that `chosen[i]` holds: a step's tokens may still be in the
// making on the GPU when the host submits it.
#import kernels/shared/step.wgsl
#import weights/wgsl/group.wgsl

struct Params {
    groups_per_row: u32, // groups of 32 weights
    rows: u32,           // in this shard
    first_row: u32,      // row of the matrix that the shard begins with
    row_words: u32,      // words in a packed row
    chosen_len: u32,     // length of `chosen`
    reserved0: u32, reserved1: u32, reserved2: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(2) var<storage, read> weights: array<u32>;
@group(0) @binding(3) var<storage, read> weights_vec4: array<vec4<u32>>; // the same buffer
@group(0) @binding(4) var<storage, read> tokens: array<u32>;
@group(0) @binding(5) var<storage, read> chosen: array<u32>;
@group(0) @binding(6) var<storage, read_write> x: array<vec4<f32>>;

const CHOSEN = 0x80000000u;

fn groups_in_row() -> u32 {
    return p.groups_per_row;
}

#import weight_format

@compute @workgroup_size(64)
fn embed(@builtin(global_invocation_id) id: vec3<u32>) {
    let g = id.x;
    let t = id.y;
    if g >= p.groups_per_row || t >= step_.count {
        return;
    }
    // CHOSEN | i is beyond every vocabulary, as NO_TOKEN is: where i is too large, it stays so.
    var token = tokens[t];
    if (token & CHOSEN) != 0u && (token ^ CHOSEN) < p.chosen_len {
        token = chosen[token ^ CHOSEN];
    }
    // Ids below the shard wrap around and are too large. GPUs run kernels without bounds checks:
    // nothing else keeps the row within the shard.
    let row = token - p.first_row;
    if row >= p.rows {
        return;
    }
    let w = dequantize(load_group(row_base(row, p.row_words), g));
    let at = (t * p.groups_per_row + g) * 8u;
    x[at] = w.v0;
    x[at + 1u] = w.v1;
    x[at + 2u] = w.v2;
    x[at + 3u] = w.v3;
    x[at + 4u] = w.v4;
    x[at + 5u] = w.v5;
    x[at + 6u] = w.v6;
    x[at + 7u] = w.v7;
}
