// Decode's values: a lane loads eight floats of four values, VALUES_PER_ROUND apart, and adds them
// by weight to its part of `acc`.

// The words of a lane's eight floats (for f32, of the first vec4) of four values, and the words
// with their scales.
struct ValueWords {
    value0: vec4<u32>, value1: vec4<u32>, value2: vec4<u32>, value3: vec4<u32>,
    scales: vec4<u32>,
}

fn load_value_words(base: u32, i: u32) -> vec4<u32> {
    if V_PER_WORD < 4u {
        let at = base + 4u * i / V_PER_WORD;
        return vec4<u32>(v_cache[at], v_cache[at + 1u], v_cache[at + 2u], v_cache[at + 3u]);
    }
    if V_PER_WORD == 4u {
        return vec4<u32>(v_cache[base + i], v_cache[base + i + 1u], 0u, 0u);
    }
    return vec4<u32>(v_cache[base + i / 2u], 0u, 0u, 0u);
}

fn load_value_scale(base: u32, i: u32) -> u32 {
    if V_PER_WORD < 4u {
        return 0u;
    }
    return v_cache[base + HEAD_DIM / V_PER_WORD + 4u * i / scale_group(HEAD_DIM) / 2u];
}

// The first of the two vec4s of a value that are this lane's.
fn lane_vec4(local_index: u32) -> u32 {
    return 2u * (local_index % SUBGROUP_SIZE % LANES_PER_VALUE);
}

// The bases of this lane's four values from slot `first` on; none is beyond slot `last`. `offset`
// is the tile's `slot_offset`.
fn values_base(
    first: u32, last: u32, offset: u32, kv_head: u32, local_index: u32,
) -> vec4<u32> {
    let slots = vec4<u32>(first + local_index % SUBGROUP_SIZE / LANES_PER_VALUE)
        + vec4<u32>(0u, VALUES_PER_ROUND, 2u * VALUES_PER_ROUND, 3u * VALUES_PER_ROUND);
    return ((min(slots, vec4<u32>(last)) + offset) * p.kv_heads + kv_head) * p.v_words;
}

fn load_values(at: vec4<u32>, local_index: u32) -> ValueWords {
    let i = lane_vec4(local_index);
    return ValueWords(
        load_value_words(at.x, i), load_value_words(at.y, i),
        load_value_words(at.z, i), load_value_words(at.w, i),
        vec4<u32>(
            load_value_scale(at.x, i), load_value_scale(at.y, i),
            load_value_scale(at.z, i), load_value_scale(at.w, i),
        ),
    );
}

// `acc` with each row multiplied by its own factor.
fn scale_acc(s: Acc8, factor: vec4<f32>) -> Acc8 {
    return Acc8(
        s.d0 * factor, s.d1 * factor, s.d2 * factor, s.d3 * factor,
        s.d4 * factor, s.d5 * factor, s.d6 * factor, s.d7 * factor,
    );
}

// Adds eight floats of a value, `v` then `u`, by the rows' weights.
fn add_floats(s: Acc8, weight: vec4<f32>, v: vec4<f32>, u: vec4<f32>) -> Acc8 {
    return Acc8(
        fma(weight, vec4<f32>(v.x), s.d0), fma(weight, vec4<f32>(v.y), s.d1),
        fma(weight, vec4<f32>(v.z), s.d2), fma(weight, vec4<f32>(v.w), s.d3),
        fma(weight, vec4<f32>(u.x), s.d4), fma(weight, vec4<f32>(u.y), s.d5),
        fma(weight, vec4<f32>(u.z), s.d6), fma(weight, vec4<f32>(u.w), s.d7),
    );
}

// Adds this lane's floats of the value at `base`, whose words have been loaded, by the rows'
// weights.
fn add_value(
    s: Acc8, weight: vec4<f32>, base: u32, local_index: u32, words: vec4<u32>, scale: u32,
) -> Acc8 {
    let i = lane_vec4(local_index);
    if V_PER_WORD == 1u {
        return add_floats(
            s, weight,
            bitcast<vec4<f32>>(words), bitcast<vec4<f32>>(load_value_words(base, i + 1u)),
        );
    }
    if V_PER_WORD == 2u {
        return add_floats(
            s, weight,
            unpack_f16x4(words.x, words.y), unpack_f16x4(words.z, words.w),
        );
    }
    let scaled = weight * unpack_f16(scale, 4u * i / scale_group(HEAD_DIM));
    if V_PER_WORD == 4u {
        return add_floats(s, scaled, unpack_i8x4(words.x), unpack_i8x4(words.y));
    }
    return add_floats(s, scaled, unpack_i4x4(words.x, 0u), unpack_i4x4(words.x, 16u));
}
