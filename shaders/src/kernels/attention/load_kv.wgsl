// Loads keys and values of the KV cache as vec4<f32>, for kernels that bind both as words.
// Layout: `kv::Segment`.

fn key_word(base: u32, w: u32) -> u32 {
    return k_cache[base + w * 32u];
}

// Floats 4 i to 4 i + 3 of the key at `base`, before its scale is applied.
fn load_key(base: u32, i: u32) -> vec4<f32> {
    if K_PER_WORD == 1u {
        return bitcast<vec4<f32>>(vec4<u32>(
            key_word(base, 4u * i), key_word(base, 4u * i + 1u),
            key_word(base, 4u * i + 2u), key_word(base, 4u * i + 3u),
        ));
    }
    if K_PER_WORD == 2u {
        return unpack_f16x4(key_word(base, 2u * i), key_word(base, 2u * i + 1u));
    }
    if K_PER_WORD == 4u {
        return unpack_i8x4(key_word(base, i));
    }
    return unpack_i4x4(key_word(base, i / 2u), (i & 1u) * 16u);
}

// The scale of these floats.
fn load_key_scale(base: u32, i: u32) -> f32 {
    if K_PER_WORD < 4u {
        return 1.0;
    }
    let group = 4u * i / scale_group(HEAD_DIM);
    return unpack_f16(key_word(base, HEAD_DIM / K_PER_WORD + group / 2u), group);
}

// Floats 4 i to 4 i + 3 of the value at `base`, scaled.
fn load_value(base: u32, i: u32) -> vec4<f32> {
    if V_PER_WORD == 1u {
        let at = base + 4u * i;
        return bitcast<vec4<f32>>(
            vec4<u32>(v_cache[at], v_cache[at + 1u], v_cache[at + 2u], v_cache[at + 3u]),
        );
    }
    if V_PER_WORD == 2u {
        let at = base + 2u * i;
        return unpack_f16x4(v_cache[at], v_cache[at + 1u]);
    }
    let group = 4u * i / scale_group(HEAD_DIM);
    let scale = unpack_f16(v_cache[base + HEAD_DIM / V_PER_WORD + group / 2u], group);
    if V_PER_WORD == 4u {
        return unpack_i8x4(v_cache[base + i]) * scale;
    }
    return unpack_i4x4(v_cache[base + i / 2u], (i & 1u) * 16u) * scale;
}

// The index of a value's first word. Its words are adjacent.
fn value_base(kv_head: u32, slot: u32) -> u32 {
    return (slot * p.kv_heads + kv_head) * p.v_words;
}

// The index of a key's first word. Its words are 32 apart.
fn key_base(kv_head: u32, slot: u32) -> u32 {
    return ((slot / 32u * p.kv_heads + kv_head) * p.k_words) * 32u + slot % 32u;
}
