// Decode's keys: a lane loads a quarter of the floats of four keys, whose words are the components
// of vec4s in the cache, and adds their dot products with the rows' queries to its scores.

// Up to four words of each of four keys: component `i` of a word is key `i`'s.
struct KeyWords { word0: vec4<u32>, word1: vec4<u32>, word2: vec4<u32>, word3: vec4<u32> }

// The index of the first words of four keys. Their following words are eight vec4s apart.
fn keys_base(kv_head: u32, slot: u32) -> u32 {
    return (slot / 32u * p.kv_heads + kv_head) * p.k_words * 8u + slot % 32u / 4u;
}

// Whether all floats of a quarter share a scale.
fn quarter_has_one_scale() -> bool {
    return scale_group(HEAD_DIM) % (4u * QUARTER_VEC4S) == 0u;
}

// The words with the scales of vec4 `i` of each of four keys.
fn key_scale_words(base: u32, i: u32) -> vec4<u32> {
    return k_cache[base + 8u * (HEAD_DIM / K_PER_WORD + 4u * i / scale_group(HEAD_DIM) / 2u)];
}

// The scales of the quarters of four keys that begin with vec4 `i`, where each has one; else 1.
fn load_key_scales(base: u32, i: u32) -> vec4<f32> {
    if K_PER_WORD >= 4u && quarter_has_one_scale() {
        return unpack_key_scales(key_scale_words(base, i), i);
    }
    return vec4<f32>(1.0);
}

fn unpack_key_scales(words: vec4<u32>, i: u32) -> vec4<f32> {
    let group = 4u * i / scale_group(HEAD_DIM);
    return vec4<f32>(
        unpack_f16(words.x, group), unpack_f16(words.y, group),
        unpack_f16(words.z, group), unpack_f16(words.w, group),
    );
}

// Word `w` of the quarters that begin with vec4 `first`; their last word where `w` is beyond it.
fn load_key_word(base: u32, first: u32, w: u32) -> vec4<u32> {
    let last = (4u * QUARTER_VEC4S + K_PER_WORD - 1u) / K_PER_WORD - 1u;
    return k_cache[base + 8u * (4u * first / K_PER_WORD + min(w, last))];
}

// The words of K_PER_WORD vec4s of the quarters, from vec4 `n` on.
fn load_keys(base: u32, first: u32, n: u32) -> KeyWords {
    let w = 4u * n / K_PER_WORD;
    return KeyWords(
        load_key_word(base, first, w), load_key_word(base, first, w + 1u),
        load_key_word(base, first, w + 2u), load_key_word(base, first, w + 3u),
    );
}

// A vec4 of each of four keys.
struct Keys4 { key0: vec4<f32>, key1: vec4<f32>, key2: vec4<f32>, key3: vec4<f32> }

fn unpack_keys_i8(w: vec4<u32>) -> Keys4 {
    return Keys4(unpack_i8x4(w.x), unpack_i8x4(w.y), unpack_i8x4(w.z), unpack_i8x4(w.w));
}

fn unpack_keys_i4(w: vec4<u32>, shift: u32) -> Keys4 {
    return Keys4(
        unpack_i4x4(w.x, shift), unpack_i4x4(w.y, shift),
        unpack_i4x4(w.z, shift), unpack_i4x4(w.w, shift),
    );
}

fn unpack_keys_f16(v: vec4<u32>, w: vec4<u32>) -> Keys4 {
    return Keys4(
        unpack_f16x4(v.x, w.x), unpack_f16x4(v.y, w.y),
        unpack_f16x4(v.z, w.z), unpack_f16x4(v.w, w.w),
    );
}

fn unpack_keys_f32(s: vec4<u32>, t: vec4<u32>, u: vec4<u32>, v: vec4<u32>) -> Keys4 {
    return Keys4(
        bitcast<vec4<f32>>(vec4<u32>(s.x, t.x, u.x, v.x)),
        bitcast<vec4<f32>>(vec4<u32>(s.y, t.y, u.y, v.y)),
        bitcast<vec4<f32>>(vec4<u32>(s.z, t.z, u.z, v.z)),
        bitcast<vec4<f32>>(vec4<u32>(s.w, t.w, u.w, v.w)),
    );
}

// Adds the dot products with vec4 `n` of the quarters, which begin with vec4 `first`. Nothing
// beyond the quarter.
fn add_keys(s: Scores4, base: u32, first: u32, n: u32, k: Keys4) -> Scores4 {
    if n >= QUARTER_VEC4S {
        return s;
    }
    let at = first * ROWS_PER_WORKGROUP + first / QUARTER_VEC4S + n * ROWS_PER_WORKGROUP;
    let q0 = scratch[at];
    let q1 = scratch[at + 1u];
    let q2 = scratch[at + 2u];
    let q3 = scratch[at + 3u];
    var keys = k;
    if K_PER_WORD >= 4u && !quarter_has_one_scale() {
        let scale = unpack_key_scales(key_scale_words(base, first + n), first + n);
        keys = Keys4(k.key0 * scale.x, k.key1 * scale.y, k.key2 * scale.z, k.key3 * scale.w);
    }
    return Scores4(
        add_dots(s.key0, q0, q1, q2, q3, keys.key0), add_dots(s.key1, q0, q1, q2, q3, keys.key1),
        add_dots(s.key2, q0, q1, q2, q3, keys.key2), add_dots(s.key3, q0, q1, q2, q3, keys.key3),
    );
}

// Adds the dot products with the two vec4s of a word of 4-bit codes, from vec4 `n` on.
fn add_keys_i4(s: Scores4, base: u32, first: u32, n: u32, w: vec4<u32>) -> Scores4 {
    // A quarter may begin in the middle of a word.
    let odd = first & 1u;
    if n < odd {
        return add_keys(s, base, first, 0u, unpack_keys_i4(w, 16u));
    }
    let sum = add_keys(s, base, first, n - odd, unpack_keys_i4(w, 0u));
    return add_keys(sum, base, first, n - odd + 1u, unpack_keys_i4(w, 16u));
}

// Adds the dot products with the words of `load_keys`, from vec4 `n` on.
fn add_key_words(sum: Scores4, base: u32, first: u32, n: u32, k: KeyWords) -> Scores4 {
    var s = sum;
    if K_PER_WORD == 1u {
        return add_keys(
            s, base, first, n, unpack_keys_f32(k.word0, k.word1, k.word2, k.word3),
        );
    }
    if K_PER_WORD == 2u {
        s = add_keys(s, base, first, n, unpack_keys_f16(k.word0, k.word1));
        return add_keys(s, base, first, n + 1u, unpack_keys_f16(k.word2, k.word3));
    }
    if K_PER_WORD == 4u {
        s = add_keys(s, base, first, n, unpack_keys_i8(k.word0));
        s = add_keys(s, base, first, n + 1u, unpack_keys_i8(k.word1));
        s = add_keys(s, base, first, n + 2u, unpack_keys_i8(k.word2));
        return add_keys(s, base, first, n + 3u, unpack_keys_i8(k.word3));
    }
    // A quarter has four words at most.
    s = add_keys_i4(s, base, first, n, k.word0);
    s = add_keys_i4(s, base, first, n + 2u, k.word1);
    s = add_keys_i4(s, base, first, n + 4u, k.word2);
    return add_keys_i4(s, base, first, n + 6u, k.word3);
}
