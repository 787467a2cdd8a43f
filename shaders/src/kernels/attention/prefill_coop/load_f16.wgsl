// Loads 16 adjacent floats of a key or value, a block, and converts them to f16. The words of a
// block are prefetched during the tile before; they are converted when their tile begins.

// Up to eight words of a block, and the word with its scale. An f32 block has 16 words, of which
// the last eight are loaded when it is converted.
struct BlockWords { low: vec4<u32>, high: vec4<u32>, scale: u32 }

fn load_key_words(slot: u32, kv_head: u32, block: u32) -> BlockWords {
    let base = key_base(kv_head, slot);
    let w = 16u * block / K_PER_WORD;
    var words = BlockWords();
    words.low = vec4<u32>(key_word(base, w), key_word(base, w + 1u), 0u, 0u);
    if K_PER_WORD <= 4u {
        words.low = vec4<u32>(words.low.xy, key_word(base, w + 2u), key_word(base, w + 3u));
    }
    if K_PER_WORD <= 2u {
        words.high = vec4<u32>(
            key_word(base, w + 4u), key_word(base, w + 5u),
            key_word(base, w + 6u), key_word(base, w + 7u),
        );
    }
    if K_PER_WORD >= 4u {
        words.scale = key_word(
            base, HEAD_DIM / K_PER_WORD + 16u * block / scale_group(HEAD_DIM) / 2u,
        );
    }
    return words;
}

fn load_value_words(slot: u32, kv_head: u32, block: u32) -> BlockWords {
    let base = (slot * p.kv_heads + kv_head) * p.v_words;
    let w = base + 16u * block / V_PER_WORD;
    var words = BlockWords();
    words.low = vec4<u32>(v_cache[w], v_cache[w + 1u], 0u, 0u);
    if V_PER_WORD <= 4u {
        words.low = vec4<u32>(words.low.xy, v_cache[w + 2u], v_cache[w + 3u]);
    }
    if V_PER_WORD <= 2u {
        words.high = vec4<u32>(v_cache[w + 4u], v_cache[w + 5u], v_cache[w + 6u], v_cache[w + 7u]);
    }
    if V_PER_WORD >= 4u {
        words.scale =
            v_cache[base + HEAD_DIM / V_PER_WORD + 16u * block / scale_group(HEAD_DIM) / 2u];
    }
    return words;
}

// Converts to f16; clamps to its largest finite numbers.
fn to_f16x4(v: vec4<f32>) -> vec4<f16> {
    return vec4<f16>(clamp(v, vec4<f32>(-65504.0), vec4<f32>(65504.0)));
}

// Sixteen f16: floats 4 i to 4 i + 3 are `v<i>`.
struct F16x16 { v0: vec4<f16>, v1: vec4<f16>, v2: vec4<f16>, v3: vec4<f16> }

// The floats of a block with `per_word` floats in a word. `v2` and `v3` are the last eight words of
// an f32 block.
fn to_f16x16(
    words: BlockWords, block: u32, per_word: u32, v2: vec4<u32>, v3: vec4<u32>,
) -> F16x16 {
    if per_word == 1u {
        return F16x16(
            to_f16x4(bitcast<vec4<f32>>(words.low)), to_f16x4(bitcast<vec4<f32>>(words.high)),
            to_f16x4(bitcast<vec4<f32>>(v2)), to_f16x4(bitcast<vec4<f32>>(v3)),
        );
    }
    if per_word == 2u {
        return F16x16(
            vec4<f16>(unpack_f16x4(words.low.x, words.low.y)),
            vec4<f16>(unpack_f16x4(words.low.z, words.low.w)),
            vec4<f16>(unpack_f16x4(words.high.x, words.high.y)),
            vec4<f16>(unpack_f16x4(words.high.z, words.high.w)),
        );
    }
    let scale = unpack_f16(words.scale, 16u * block / scale_group(HEAD_DIM));
    if per_word == 4u {
        return F16x16(
            vec4<f16>(unpack_i8x4(words.low.x) * scale),
            vec4<f16>(unpack_i8x4(words.low.y) * scale),
            vec4<f16>(unpack_i8x4(words.low.z) * scale),
            vec4<f16>(unpack_i8x4(words.low.w) * scale),
        );
    }
    return F16x16(
        vec4<f16>(unpack_i4x4(words.low.x, 0u) * scale),
        vec4<f16>(unpack_i4x4(words.low.x, 16u) * scale),
        vec4<f16>(unpack_i4x4(words.low.y, 0u) * scale),
        vec4<f16>(unpack_i4x4(words.low.y, 16u) * scale),
    );
}

fn key_f16x16(words: BlockWords, slot: u32, kv_head: u32, block: u32) -> F16x16 {
    var v2 = vec4<u32>();
    var v3 = vec4<u32>();
    if K_PER_WORD == 1u {
        let base = key_base(kv_head, slot);
        let w = 16u * block + 8u;
        v2 = vec4<u32>(
            key_word(base, w), key_word(base, w + 1u),
            key_word(base, w + 2u), key_word(base, w + 3u),
        );
        v3 = vec4<u32>(
            key_word(base, w + 4u), key_word(base, w + 5u),
            key_word(base, w + 6u), key_word(base, w + 7u),
        );
    }
    return to_f16x16(words, block, K_PER_WORD, v2, v3);
}

fn value_f16x16(words: BlockWords, slot: u32, kv_head: u32, block: u32) -> F16x16 {
    var v2 = vec4<u32>();
    var v3 = vec4<u32>();
    if V_PER_WORD == 1u {
        let w = (slot * p.kv_heads + kv_head) * p.v_words + 16u * block + 8u;
        v2 = vec4<u32>(v_cache[w], v_cache[w + 1u], v_cache[w + 2u], v_cache[w + 3u]);
        v3 = vec4<u32>(v_cache[w + 4u], v_cache[w + 5u], v_cache[w + 6u], v_cache[w + 7u]);
    }
    return to_f16x16(words, block, V_PER_WORD, v2, v3);
}
