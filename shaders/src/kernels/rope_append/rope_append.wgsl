// Rotates q and k by their positions (Su et al. 2021, neighbouring pairs), and appends k and v to
// the KV cache. A team takes one head of one token: of q, then of k, then of v. The newest keys and
// values may be kept as halves too, in rings.
#import kernels/shared/step.wgsl

struct Params {
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    rotary_dim: u32, // floats of a head that are rotated
    first: u32,      // position that the segment begins with
    len: u32,        // positions in the segment
    k_words: u32,    // of a cached vector
    v_words: u32,
    k_block: u32,    // of the Hadamard transform of q and k; 1: none
    v_block: u32,
    ring: u32,       // positions in the rings; 0: none
    reserved0: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
// 1024 rows for b, then the rows for a; a row is (cos, sin) for each rotated pair.
@group(0) @binding(2) var<storage, read> tables: array<vec2<f32>>;
// Of each token the query heads, then the keys, then the values.
@group(0) @binding(3) var<storage, read_write> qkv: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read_write> k_cache: array<u32>;
@group(0) @binding(5) var<storage, read_write> v_cache: array<u32>;
@group(0) @binding(6) var<storage, read_write> recent: array<u32>; // keys, then values, [ring, kv_heads, head_dim] each

#import kv/kv.wgsl
#import kernels/rope_append/rotation.wgsl
#import kv/hadamard.wgsl

override K_VALUES: u32 = 2; // floats in a word
override V_VALUES: u32 = 2;

// Pair `i` of the vector.
fn pair_at(i: u32) -> vec2<f32> {
    return vec2<f32>(vector[2u * i], vector[2u * i + 1u]);
}

// The scale of a group of the vector, as it is stored: the largest magnitude is 127, or -8.
fn scale_of(group: u32, len: u32, values: u32) -> f32 {
    var largest = 0.0;
    for (var i = group * len; i < (group + 1u) * len; i++) {
        let float = vector[i];
        if abs(float) > abs(largest) {
            largest = float;
        }
    }
    let scale = select(abs(largest) / 127.0, largest / -8.0, values == 8u);
    return rounded_to_half(scale);
}

// Word `w` of the vector, `values` floats in each.
fn encoded(w: u32, values: u32) -> u32 {
    if values == 1u {
        return bitcast<u32>(vector[w]);
    }
    if values == 2u {
        return pack2x16float(pair_at(w));
    }
    let len = scale_group(p.head_dim);
    let codes = p.head_dim / values;
    if w >= codes {
        let group = 2u * (w - codes);
        let next = min(group + 1u, p.head_dim / len - 1u);
        return pack2x16float(vec2<f32>(scale_of(group, len, values), scale_of(next, len, values)));
    }
    let scale = scale_of(w * values / len, len, values);
    let inverse = select(0.0, 1.0 / scale, scale != 0.0);
    let bits = 32u / values;
    let most = f32((1u << (bits - 1u)) - 1u);
    var word = 0u;
    for (var i = 0u; i < values; i++) {
        let code = i32(clamp(round(vector[w * values + i] * inverse), -most - 1.0, most));
        // Bytes are signed, nibbles count from -8.
        word |= (bitcast<u32>(select(code, code + 8, values == 8u)) & ((1u << bits) - 1u)) << (i * bits);
    }
    return word;
}

#ifdef CPU
@compute @workgroup_size(8)
fn rope_append(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let lane = 0u;
    let token = group.y * 8u + local;
#else
@compute @workgroup_size(64)
fn rope_append(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let token = group.y;
#endif
    if token >= step_.count {
        return;
    }
    let position = step_.position + token;
    let pairs = p.head_dim / 2u;
    let is_q = group.x < p.heads;
    let is_v = group.x >= p.heads + p.kv_heads;
    let head = group.x - select(p.heads, p.heads + p.kv_heads, is_v); // of keys or values
    let from_ = (token * (p.heads + 2u * p.kv_heads) + group.x) * pairs;
    for (var i = lane; i < pairs; i += TEAM) {
        var pair = qkv[from_ + i];
        if !is_v {
            pair = rotated(pair, position, i);
        }
        vector[2u * i] = pair.x;
        vector[2u * i + 1u] = pair.y;
    }
    meet();
    let block = select(p.k_block, p.v_block, is_v);
    if block > 1u {
        hadamard(lane, p.head_dim, block);
    }
    if is_q {
        for (var i = lane; i < pairs; i += TEAM) {
            qkv[from_ + i] = pair_at(i);
        }
        return;
    }
    if p.ring > 0u {
        let row = select(0u, p.ring, is_v) + position % p.ring;
        for (var i = lane; i < pairs; i += TEAM) {
            recent[(row * p.kv_heads + head) * pairs + i] = pack2x16float(pair_at(i));
        }
    }
    let slot = position - p.first;
    if slot >= p.len {
        return;
    }
    if is_v {
        for (var w = lane; w < p.v_words; w += TEAM) {
            v_cache[(slot * p.kv_heads + head) * p.v_words + w] = encoded(w, V_VALUES);
        }
    } else {
        for (var w = lane; w < p.k_words; w += TEAM) {
            k_cache[((slot / 32u * p.kv_heads + head) * p.k_words + w) * 32u + slot % 32u] = encoded(w, K_VALUES);
        }
    }
}
