// The token's key and value on their way to the KV cache, a quad an invocation.

// A quad of a vector on its way to the cache: as it is seen there, and its words; that of its scale
// and the next one's.
struct Cached { seen: vec4<f32>, words: vec4<u32>, scales: u32 }

fn cached(v: vec4<f32>, values: u32, quad: u32, lane: u32) -> Cached {
    let lanes = scale_group(HEAD_DIM) / 4u; // that share a scale
    var largest = max(max(abs(v.x), abs(v.y)), max(abs(v.z), abs(v.w)));
    for (var mask = 1u; mask < lanes; mask <<= 1u) {
        largest = max(largest, swapped(vec4<f32>(largest), mask, lane).x);
    }
    let scale = rounded_to_half(largest / 127.0);
    let next = swapped(vec4<f32>(scale), lanes, lane).x;
    if values == 1u {
        return Cached(v, bitcast<vec4<u32>>(v), 0u);
    }
    if values == 2u {
        let halves = vec4<f32>(rounded_to_half(v.x), rounded_to_half(v.y), rounded_to_half(v.z), rounded_to_half(v.w));
        return Cached(halves, vec4<u32>(pack2x16float(v.xy), pack2x16float(v.zw), 0u, 0u), 0u);
    }
    let codes = clamp(round(v * select(0.0, 1.0 / scale, scale != 0.0)), vec4<f32>(-128.0), vec4<f32>(127.0));
    let bytes = (bitcast<vec4<u32>>(vec4<i32>(codes)) & vec4<u32>(255u)) << vec4<u32>(0u, 8u, 16u, 24u);
    let both = vec2<f32>(scale, select(scale, next, quad + lanes < HEAD_DIM / 4u));
    return Cached(codes * scale, vec4<u32>(bytes.x | bytes.y | bytes.z | bytes.w, 0u, 0u, 0u), pack2x16float(both));
}

// Which of a cached vector's words a quad is, and whether it has the scales' word: its index, or
// else `none`.
fn scales_word(values: u32, quad: u32, none: u32) -> u32 {
    let two = scale_group(HEAD_DIM) / 2u; // quads of two groups
    return select(none, HEAD_DIM / values + quad / two, values == 4u && quad % two == 0u);
}

fn put_key_word(slot: u32, kv_head: u32, w: u32, word: u32) {
    // The neighbours' words in the vector stay: nobody else writes any of it.
    let at = keys_base(kv_head, slot) + 8u * w;
    k_cache[at] = select(k_cache[at], vec4<u32>(word), vec4<u32>(slot % 4u) == vec4<u32>(0u, 1u, 2u, 3u));
}

fn put_value_word(slot: u32, kv_head: u32, w: u32, word: u32) {
    v_cache[(slot * p.kv_heads + kv_head) * p.v_words + w] = word;
}
