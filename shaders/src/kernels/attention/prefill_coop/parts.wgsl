// Keys and values on their way to matrix units: 16 floats at a time, as they are stored, then as
// halves.

// 16 floats of a key or value as they are stored: up to eight words, and their scale's.
struct Part { a: vec4<u32>, b: vec4<u32>, scale: u32 }

fn key_part(slot: u32, kv_head: u32, part: u32) -> Part {
    let base = key_base(kv_head, slot);
    let w = 16u * part / K_VALUES;
    var own = Part();
    own.a = vec4<u32>(k_word(base, w), k_word(base, w + 1u), 0u, 0u);
    if K_VALUES <= 4u {
        own.a = vec4<u32>(own.a.xy, k_word(base, w + 2u), k_word(base, w + 3u));
    }
    if K_VALUES <= 2u {
        own.b = vec4<u32>(k_word(base, w + 4u), k_word(base, w + 5u), k_word(base, w + 6u), k_word(base, w + 7u));
    }
    if K_VALUES >= 4u {
        own.scale = k_word(base, HEAD_DIM / K_VALUES + 16u * part / scale_group(HEAD_DIM) / 2u);
    }
    return own;
}

fn value_part(slot: u32, kv_head: u32, part: u32) -> Part {
    let base = (slot * p.kv_heads + kv_head) * p.v_words;
    let w = base + 16u * part / V_VALUES;
    var own = Part();
    own.a = vec4<u32>(v_cache[w], v_cache[w + 1u], 0u, 0u);
    if V_VALUES <= 4u {
        own.a = vec4<u32>(own.a.xy, v_cache[w + 2u], v_cache[w + 3u]);
    }
    if V_VALUES <= 2u {
        own.b = vec4<u32>(v_cache[w + 4u], v_cache[w + 5u], v_cache[w + 6u], v_cache[w + 7u]);
    }
    if V_VALUES >= 4u {
        own.scale = v_cache[base + HEAD_DIM / V_VALUES + 16u * part / scale_group(HEAD_DIM) / 2u];
    }
    return own;
}

fn within(v: vec4<f32>) -> vec4<f16> {
    return vec4<f16>(clamp(v, vec4<f32>(-65504.0), vec4<f32>(65504.0)));
}

struct Sixteen { a: vec4<f16>, b: vec4<f16>, c: vec4<f16>, d: vec4<f16> }

// The floats of a part, `values` of them in a word; of parts with one in a word the second half is
// `c` and `d`.
fn sixteen(own: Part, part: u32, values: u32, c: vec4<u32>, d: vec4<u32>) -> Sixteen {
    if values == 1u {
        return Sixteen(
            within(bitcast<vec4<f32>>(own.a)), within(bitcast<vec4<f32>>(own.b)), within(bitcast<vec4<f32>>(c)), within(bitcast<vec4<f32>>(d)),
        );
    }
    if values == 2u {
        return Sixteen(
            vec4<f16>(halves_of(own.a.x, own.a.y)), vec4<f16>(halves_of(own.a.z, own.a.w)),
            vec4<f16>(halves_of(own.b.x, own.b.y)), vec4<f16>(halves_of(own.b.z, own.b.w)),
        );
    }
    let scale = half_of(own.scale, 16u * part / scale_group(HEAD_DIM));
    if values == 4u {
        return Sixteen(
            vec4<f16>(bytes_of(own.a.x) * scale), vec4<f16>(bytes_of(own.a.y) * scale),
            vec4<f16>(bytes_of(own.a.z) * scale), vec4<f16>(bytes_of(own.a.w) * scale),
        );
    }
    return Sixteen(
        vec4<f16>(nibbles_of(own.a.x, 0u) * scale), vec4<f16>(nibbles_of(own.a.x, 16u) * scale),
        vec4<f16>(nibbles_of(own.a.y, 0u) * scale), vec4<f16>(nibbles_of(own.a.y, 16u) * scale),
    );
}

fn key_of(own: Part, slot: u32, kv_head: u32, part: u32) -> Sixteen {
    var c = vec4<u32>();
    var d = vec4<u32>();
    if K_VALUES == 1u {
        let base = key_base(kv_head, slot);
        let w = 16u * part + 8u;
        c = vec4<u32>(k_word(base, w), k_word(base, w + 1u), k_word(base, w + 2u), k_word(base, w + 3u));
        d = vec4<u32>(k_word(base, w + 4u), k_word(base, w + 5u), k_word(base, w + 6u), k_word(base, w + 7u));
    }
    return sixteen(own, part, K_VALUES, c, d);
}

fn value_of(own: Part, slot: u32, kv_head: u32, part: u32) -> Sixteen {
    var c = vec4<u32>();
    var d = vec4<u32>();
    if V_VALUES == 1u {
        let w = (slot * p.kv_heads + kv_head) * p.v_words + 16u * part + 8u;
        c = vec4<u32>(v_cache[w], v_cache[w + 1u], v_cache[w + 2u], v_cache[w + 3u]);
        d = vec4<u32>(v_cache[w + 4u], v_cache[w + 5u], v_cache[w + 6u], v_cache[w + 7u]);
    }
    return sixteen(own, part, V_VALUES, c, d);
}
