// Floats of the KV cache, four at a time.

fn k_word(base: u32, w: u32) -> u32 {
    return k_cache[base + w * 32u];
}

// Floats 4 i to 4 i + 3 of a key, whose words begin at `base`, 32 apart; not scaled yet.
fn k_quad(base: u32, i: u32) -> vec4<f32> {
    if K_VALUES == 1u {
        return bitcast<vec4<f32>>(vec4<u32>(
            k_word(base, 4u * i), k_word(base, 4u * i + 1u), k_word(base, 4u * i + 2u), k_word(base, 4u * i + 3u),
        ));
    }
    if K_VALUES == 2u {
        return halves_of(k_word(base, 2u * i), k_word(base, 2u * i + 1u));
    }
    if K_VALUES == 4u {
        return bytes_of(k_word(base, i));
    }
    return nibbles_of(k_word(base, i / 2u), (i & 1u) * 16u);
}

fn k_scale(base: u32, i: u32) -> f32 {
    if K_VALUES < 4u {
        return 1.0;
    }
    let group = 4u * i / scale_group(HEAD_DIM);
    return half_of(k_word(base, HEAD_DIM / K_VALUES + group / 2u), group);
}

// The same of a value, whose words lie together.
fn v_quad(base: u32, i: u32) -> vec4<f32> {
    if V_VALUES == 1u {
        let at = base + 4u * i;
        return bitcast<vec4<f32>>(vec4<u32>(v_cache[at], v_cache[at + 1u], v_cache[at + 2u], v_cache[at + 3u]));
    }
    if V_VALUES == 2u {
        let at = base + 2u * i;
        return halves_of(v_cache[at], v_cache[at + 1u]);
    }
    let group = 4u * i / scale_group(HEAD_DIM);
    let scale = half_of(v_cache[base + HEAD_DIM / V_VALUES + group / 2u], group);
    if V_VALUES == 4u {
        return bytes_of(v_cache[base + i]) * scale;
    }
    return nibbles_of(v_cache[base + i / 2u], (i & 1u) * 16u) * scale;
}

// Where the words of a value begin.
fn value_base(kv_head: u32, slot: u32) -> u32 {
    return (slot * p.kv_heads + kv_head) * p.v_words;
}

// Where the words of a key begin.
fn key_base(kv_head: u32, slot: u32) -> u32 {
    return ((slot / 32u * p.kv_heads + kv_head) * p.k_words) * 32u + slot % 32u;
}
