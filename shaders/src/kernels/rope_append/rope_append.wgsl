// Rotary position embedding (Su et al. 2021, adjacent pairs) of q and k, and the append of k and v
// to the KV cache.
//
// Workgroup (x, y) takes head x of token y: the query heads, then the KV heads of k, then those of
// v. `vector` holds that head, in workgroup memory. On CPUs an invocation takes a head alone, and a
// workgroup eight tokens. The f16 tail gets the same keys and values as f16.
//
// With PAGED (kernel `rope_append_paged`) tokens are the rows of a batch, whose sequences share a
// paged cache. There is a dispatch for each segment; one of them also rotates the queries.
#import kernels/shared/step.wgsl
#ifdef PAGED
#import kernels/shared/batch.wgsl
#endif

struct Params {
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    rotary_dim: u32,    // floats of a head that are rotated
#ifdef PAGED
    segment_start: u32, // the segment's first slot, counted over all segments
#else
    segment_start: u32, // position of the segment's first slot
#endif
    segment_len: u32,   // slots in the segment
    k_words: u32,       // words of a cached key
    v_words: u32,       // words of a cached value
    k_block: u32,       // block of the Hadamard transform of q and k; 1: no transform
    v_block: u32,       // the same of v
#ifdef PAGED
    rotate_queries: u32, // 1: this dispatch rotates the queries
    last_position: u32,  // that `tables` can rotate by
    cache_slots: u32,    // slots of all segments
    reserved0: u32, reserved1: u32, reserved2: u32,
#else
    tail_len: u32,      // positions in the f16 tail; 0: there is none
    reserved0: u32,
#endif
}
@group(0) @binding(0) var<uniform> p: Params;
// 1024 rows of the fine table, then the rows of the coarse one; a row is (cos, sin) of each pair.
@group(0) @binding(2) var<storage, read> tables: array<vec2<f32>>;
// [token, heads + 2 kv_heads, head_dim]
@group(0) @binding(3) var<storage, read_write> qkv: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read_write> k_cache: array<u32>;
@group(0) @binding(5) var<storage, read_write> v_cache: array<u32>;
#ifdef PAGED
@group(0) @binding(6) var<storage, read> batch_rows: array<BatchRow>;
#else
// Keys, then values: [tail_len, kv_heads, head_dim] f16 each.
@group(0) @binding(6) var<storage, read_write> f16_tail: array<u32>;
#endif

#import kv/kv.wgsl
#import kernels/rope_append/rotation.wgsl
#import kv/hadamard.wgsl

override K_PER_WORD: u32 = 2; // floats of a key in a 32-bit word
override V_PER_WORD: u32 = 2; // floats of a value in a 32-bit word

// Pair `i` of the vector.
fn load_pair(i: u32) -> vec2<f32> {
    return vec2<f32>(vector[2u * i], vector[2u * i + 1u]);
}

// The f16 scale of a group of `len` floats: the largest magnitude becomes code 127, or -8.
fn group_scale(group: u32, len: u32, per_word: u32) -> f32 {
    var largest = 0.0;
    for (var i = group * len; i < (group + 1u) * len; i++) {
        let float = vector[i];
        if abs(float) > abs(largest) {
            largest = float;
        }
    }
    let scale = select(abs(largest) / 127.0, largest / -8.0, per_word == 8u);
    return round_to_f16(scale);
}

// Word `w` of the vector as it is cached, with `per_word` floats in a word.
fn encode_word(w: u32, per_word: u32) -> u32 {
    if per_word == 1u {
        return bitcast<u32>(vector[w]);
    }
    if per_word == 2u {
        return pack2x16float(load_pair(w));
    }
    let len = scale_group(p.head_dim);
    let code_words = p.head_dim / per_word;
    if w >= code_words {
        let group = 2u * (w - code_words);
        let next = min(group + 1u, p.head_dim / len - 1u);
        return pack2x16float(
            vec2<f32>(group_scale(group, len, per_word), group_scale(next, len, per_word)),
        );
    }
    let scale = group_scale(w * per_word / len, len, per_word);
    let inverse = select(0.0, 1.0 / scale, scale != 0.0);
    let bits = 32u / per_word;
    let max_code = f32((1u << (bits - 1u)) - 1u);
    var word = 0u;
    for (var i = 0u; i < per_word; i++) {
        let code = i32(clamp(round(vector[w * per_word + i] * inverse), -max_code - 1.0, max_code));
        // 8-bit codes are signed, 4-bit codes are stored plus 8.
        word |= (bitcast<u32>(select(code, code + 8, per_word == 8u)) & ((1u << bits) - 1u))
            << (i * bits);
    }
    return word;
}

#ifdef CPU
@compute @workgroup_size(8)
#ifdef PAGED
fn rope_append_paged(
#else
fn rope_append(
#endif
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
) {
    let index = 0u; // among the invocations of the vector
    let token = group.y * 8u + local_index;
#else
@compute @workgroup_size(64)
#ifdef PAGED
fn rope_append_paged(
#else
fn rope_append(
#endif
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let token = group.y;
#endif
    if token >= step_.count {
        return;
    }
#ifdef PAGED
    let position = min(batch_rows[token].position, p.last_position);
    let slot = batch_rows[token].slot - p.segment_start;
#else
    let position = step_.position + token;
#endif
    let pairs = p.head_dim / 2u;
    let is_q = group.x < p.heads;
#ifdef PAGED
    if select(slot >= p.segment_len, p.rotate_queries == 0u, is_q) {
        return;
    }
#endif
    let is_v = group.x >= p.heads + p.kv_heads;
    let kv_head = group.x - select(p.heads, p.heads + p.kv_heads, is_v);
    let vector_base = (token * (p.heads + 2u * p.kv_heads) + group.x) * pairs;
    for (var i = index; i < pairs; i += VECTOR_INVOCATIONS) {
        var pair = qkv[vector_base + i];
        if !is_v {
            pair = rotate(pair, position, i);
        }
        vector[2u * i] = pair.x;
        vector[2u * i + 1u] = pair.y;
    }
    vector_barrier();
    let block = select(p.k_block, p.v_block, is_v);
    if block > 1u {
        hadamard(index, p.head_dim, block);
    }
    if is_q {
        for (var i = index; i < pairs; i += VECTOR_INVOCATIONS) {
            qkv[vector_base + i] = load_pair(i);
        }
        return;
    }
#ifdef PAGED
#else
    if p.tail_len > 0u {
        let row = select(0u, p.tail_len, is_v) + position % p.tail_len;
        for (var i = index; i < pairs; i += VECTOR_INVOCATIONS) {
            f16_tail[(row * p.kv_heads + kv_head) * pairs + i] = pack2x16float(load_pair(i));
        }
    }
    let slot = position - p.segment_start;
    if slot >= p.segment_len {
        return;
    }
#endif
    if is_v {
        for (var w = index; w < p.v_words; w += VECTOR_INVOCATIONS) {
            v_cache[(slot * p.kv_heads + kv_head) * p.v_words + w] = encode_word(w, V_PER_WORD);
        }
    } else {
        for (var w = index; w < p.k_words; w += VECTOR_INVOCATIONS) {
            let word = ((slot / 32u * p.kv_heads + kv_head) * p.k_words + w) * 32u + slot % 32u;
            k_cache[word] = encode_word(w, K_PER_WORD);
        }
    }
}
