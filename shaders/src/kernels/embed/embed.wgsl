// x[t] = W[token[t]], one invocation for each group of 32 weights. Tokens outside the shard are
// left alone.
#import kernels/shared/step.wgsl
#import weights/wgsl/group.wgsl

struct Params {
    groups: u32,    // of 32 weights in a row
    rows: u32,      // in this shard
    first: u32,     // row of the matrix that the shard begins with
    row_words: u32, // in a packed row
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(2) var<storage, read> weights: array<u32>;
@group(0) @binding(3) var<storage, read> quads: array<vec4<u32>>; // the same
@group(0) @binding(4) var<storage, read> tokens: array<u32>;
@group(0) @binding(5) var<storage, read_write> x: array<vec4<f32>>;

fn groups_in_row() -> u32 {
    return p.groups;
}

#import weight_format

@compute @workgroup_size(64)
fn embed(@builtin(global_invocation_id) id: vec3<u32>) {
    let g = id.x;
    let t = id.y;
    if g >= p.groups || t >= step_.count {
        return;
    }
    // An id below the shard wraps around and is too large as well, and so is NO_TOKEN. Kernels run
    // unchecked on GPUs: nothing else keeps ids within the shard.
    let row = tokens[t] - p.first;
    if row >= p.rows {
        return;
    }
    let w = weights_of(load_stored(row_base(row, p.row_words), g));
    let at = (t * p.groups + g) * 8u;
    x[at] = w.a;
    x[at + 1u] = w.b;
    x[at + 2u] = w.c;
    x[at + 3u] = w.d;
    x[at + 4u] = w.e;
    x[at + 5u] = w.f;
    x[at + 6u] = w.g;
    x[at + 7u] = w.h;
}
