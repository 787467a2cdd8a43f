// Unpacks vectors of the KV cache. A 32-bit word holds one f32, two f16, four signed 8-bit codes or
// eight 4-bit codes (stored plus 8). Behind the codes of a quantised vector come the f16 scales of
// its groups, two to a word. Rust: `kv::KvType`.

// Floats that share a scale.
fn scale_group(dim: u32) -> u32 {
    return min(32u, dim & (~dim + 1u));
}

#ifdef CPU
// CPUs convert a vector in one instruction.
fn unpack_i8x4(word: u32) -> vec4<f32> {
    return vec4<f32>(
        bitcast<vec4<i32>>(vec4<u32>(word << 24u, word << 16u, word << 8u, word)) >> vec4<u32>(24u),
    );
}

// Four 4-bit codes of a word, the lowest at bit `shift`.
fn unpack_i4x4(word: u32, shift: u32) -> vec4<f32> {
    return vec4<f32>(
        (vec4<u32>(word >> shift) >> vec4<u32>(0u, 4u, 8u, 12u)) & vec4<u32>(15u),
    ) - 8.0;
}
#else
// GPUs have few conversion units, so the codes become the low bits of the float 2^23 + n. The
// second and the fourth byte stay 256 times too large until the multiply-add.
fn unpack_i8x4(word: u32) -> vec4<f32> {
    let positive = word ^ 0x80808080u;
    let pairs = vec4<u32>(positive, positive, positive >> 16u, positive >> 16u);
    let bits = (pairs & vec4<u32>(0xffu, 0xff00u, 0xffu, 0xff00u)) | vec4<u32>(0x4b000000u);
    return fma(
        bitcast<vec4<f32>>(bits),
        vec4<f32>(1.0, 0.00390625, 1.0, 0.00390625),
        vec4<f32>(-8388736.0, -32896.0, -8388736.0, -32896.0),
    );
}

// Four 4-bit codes of a word, the lowest at bit `shift`.
fn unpack_i4x4(word: u32, shift: u32) -> vec4<f32> {
    let codes = (vec4<u32>(word >> shift) >> vec4<u32>(0u, 4u, 8u, 12u)) & vec4<u32>(15u);
    let bits = codes | vec4<u32>(0x4b000000u);
    return bitcast<vec4<f32>>(bits) - 8388616.0;
}
#endif

// The four f16 of two words.
fn unpack_f16x4(a: u32, b: u32) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(a), unpack2x16float(b));
}

// The low f16 of a word for an even index, the high one for an odd index.
fn unpack_f16(word: u32, index: u32) -> f32 {
    let both = unpack2x16float(word);
    return select(both.x, both.y, (index & 1u) == 1u);
}

// Adds the dot products of a key's vec4 `k` with those of four rows' queries to the rows' scores.
fn add_dots(
    scores: vec4<f32>, q0: vec4<f32>, q1: vec4<f32>, q2: vec4<f32>, q3: vec4<f32>, k: vec4<f32>,
) -> vec4<f32> {
    return vec4<f32>(
        fma(q0.w, k.w, fma(q0.z, k.z, fma(q0.y, k.y, fma(q0.x, k.x, scores.x)))),
        fma(q1.w, k.w, fma(q1.z, k.z, fma(q1.y, k.y, fma(q1.x, k.x, scores.y)))),
        fma(q2.w, k.w, fma(q2.z, k.z, fma(q2.y, k.y, fma(q2.x, k.x, scores.z)))),
        fma(q3.w, k.w, fma(q3.z, k.z, fma(q3.y, k.y, fma(q3.x, k.x, scores.w)))),
    );
}
