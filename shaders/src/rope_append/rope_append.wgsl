// Rotates q and k by their positions (Su et al. 2021, neighbouring pairs), and appends k and v to the KV cache as halves.
//
// A position is 1024 a + b: its rotation is the product of row a of one table and row b of another, both made in f64.
// No cosine is taken here: drivers are far off for large angles.
#import step

struct Params {
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    rotary_dim: u32, // floats of a head that are rotated
    first: u32,      // position that the segment begins with
    len: u32,        // positions in the segment
    reserved0: u32, reserved1: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
// 1024 rows for b, then the rows for a; a row is (cos, sin) for each rotated pair.
@group(0) @binding(2) var<storage, read> tables: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read> k: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read> v: array<vec2<f32>>;
@group(0) @binding(5) var<storage, read_write> q: array<vec2<f32>>;
@group(0) @binding(6) var<storage, read_write> k_cache: array<u32>;
@group(0) @binding(7) var<storage, read_write> v_cache: array<u32>;

fn turn(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
    return vec2<f32>(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x);
}

fn rotated(pair: vec2<f32>, position: u32, i: u32) -> vec2<f32> {
    let pairs = p.rotary_dim / 2u;
    if i >= pairs {
        return pair;
    }
    let fine = tables[(position & 1023u) * pairs + i];
    let coarse = tables[(1024u + (position >> 10u)) * pairs + i];
    return turn(pair, turn(fine, coarse));
}

@compute @workgroup_size(64)
fn rope_append(@builtin(global_invocation_id) id: vec3<u32>) {
    let words = p.head_dim / 2u;
    let queries = p.heads * words;
    let keys = p.kv_heads * words;
    let token = id.y;
    if token >= step_.count || id.x >= queries + keys {
        return;
    }
    let position = step_.position + token;
    if id.x < queries {
        let at = token * queries + id.x;
        q[at] = rotated(q[at], position, id.x % words);
        return;
    }
    let slot = position - p.first;
    if slot >= p.len {
        return;
    }
    let i = id.x - queries;
    let head = i / words;
    let word = i % words;
    let at = token * keys + i;
    k_cache[((slot / 32u * p.kv_heads + head) * words + word) * 32u + slot % 32u] =
        pack2x16float(rotated(k[at], position, word));
    v_cache[slot * keys + i] = pack2x16float(v[at]);
}
