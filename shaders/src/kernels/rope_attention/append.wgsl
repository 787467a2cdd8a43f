// The append of the token's key and value to the KV cache. Each lane of two subgroups has a vec4 of
// the vector.

// A vec4 of a vector as it is cached: the floats that readers will decode, its words (fewer than
// four where a word holds several floats), and the word with its scale and the next one.
struct Encoded { decoded: vec4<f32>, words: vec4<u32>, scales: u32 }

// Encodes vec4 `i` of a vector with `per_word` floats in a word.
fn encode(v: vec4<f32>, per_word: u32, i: u32, local_index: u32) -> Encoded {
    let group_lanes = scale_group(HEAD_DIM) / 4u; // lanes that share a scale
    var largest = max(max(abs(v.x), abs(v.y)), max(abs(v.z), abs(v.w)));
    for (var mask = 1u; mask < group_lanes; mask <<= 1u) {
        largest = max(largest, shuffle_xor(vec4<f32>(largest), mask, local_index).x);
    }
    let scale = round_to_f16(largest / 127.0);
    let next_scale = shuffle_xor(vec4<f32>(scale), group_lanes, local_index).x;
    if per_word == 1u {
        return Encoded(v, bitcast<vec4<u32>>(v), 0u);
    }
    if per_word == 2u {
        let rounded =
            vec4<f32>(round_to_f16(v.x), round_to_f16(v.y), round_to_f16(v.z), round_to_f16(v.w));
        return Encoded(
            rounded, vec4<u32>(pack2x16float(v.xy), pack2x16float(v.zw), 0u, 0u), 0u,
        );
    }
    let codes = clamp(
        round(v * select(0.0, 1.0 / scale, scale != 0.0)), vec4<f32>(-128.0), vec4<f32>(127.0),
    );
    let bytes = (bitcast<vec4<u32>>(vec4<i32>(codes)) & vec4<u32>(255u))
        << vec4<u32>(0u, 8u, 16u, 24u);
    let scales = vec2<f32>(scale, select(scale, next_scale, i + group_lanes < HEAD_DIM / 4u));
    return Encoded(
        codes * scale,
        vec4<u32>(bytes.x | bytes.y | bytes.z | bytes.w, 0u, 0u, 0u),
        pack2x16float(scales),
    );
}

// The index, in a cached vector, of the word of scales that the lane with vec4 `i` stores; `none`
// where it stores none.
fn scales_word(per_word: u32, i: u32, none: u32) -> u32 {
    let two_groups = scale_group(HEAD_DIM) / 2u; // vec4s of two groups
    return select(
        none, HEAD_DIM / per_word + i / two_groups, per_word == 4u && i % two_groups == 0u,
    );
}

// Stores word `w` of the key at `slot`. The other components of the vec4 belong to the keys of
// neighbouring slots, which no invocation writes in this dispatch.
fn store_key_word(slot: u32, kv_head: u32, w: u32, word: u32) {
    let at = keys_base(kv_head, slot) + 8u * w;
    k_cache[at] = select(
        k_cache[at], vec4<u32>(word), vec4<u32>(slot % 4u) == vec4<u32>(0u, 1u, 2u, 3u),
    );
}

fn store_value_word(slot: u32, kv_head: u32, w: u32, word: u32) {
    v_cache[(slot * p.kv_heads + kv_head) * p.v_words + w] = word;
}
