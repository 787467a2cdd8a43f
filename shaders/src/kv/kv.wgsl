// Vectors of the KV cache. A word holds 1 float, 2 halves, 4 signed bytes or 8 nibbles (less 8);
// behind the codes of the last two kinds come the scales of their groups, halves, two to a word.

// Floats that share a scale.
fn scale_group(dim: u32) -> u32 {
    return min(32u, dim & (~dim + 1u));
}

#ifdef CPU
// CPUs convert a vector at once.
fn bytes_of(word: u32) -> vec4<f32> {
    return vec4<f32>(bitcast<vec4<i32>>(vec4<u32>(word << 24u, word << 16u, word << 8u, word)) >> vec4<u32>(24u));
}

// Four of a word's nibbles, the ones at `shift` first.
fn nibbles_of(word: u32, shift: u32) -> vec4<f32> {
    return vec4<f32>((vec4<u32>(word >> shift) >> vec4<u32>(0u, 4u, 8u, 12u)) & vec4<u32>(15u)) - 8.0;
}
#else
// The last bits of 2^23 + n: GPUs have few units for conversions. Every second byte is 256 times
// what it should be.
fn bytes_of(word: u32) -> vec4<f32> {
    let positive = word ^ 0x80808080u;
    let halves = vec4<u32>(positive, positive, positive >> 16u, positive >> 16u);
    let bits = (halves & vec4<u32>(0xffu, 0xff00u, 0xffu, 0xff00u)) | vec4<u32>(0x4b000000u);
    return fma(bitcast<vec4<f32>>(bits), vec4<f32>(1.0, 0.00390625, 1.0, 0.00390625), vec4<f32>(-8388736.0, -32896.0, -8388736.0, -32896.0));
}

// Four of a word's nibbles, the ones at `shift` first.
fn nibbles_of(word: u32, shift: u32) -> vec4<f32> {
    let bits = ((vec4<u32>(word >> shift) >> vec4<u32>(0u, 4u, 8u, 12u)) & vec4<u32>(15u)) | vec4<u32>(0x4b000000u);
    return bitcast<vec4<f32>>(bits) - 8388616.0;
}
#endif

// The halves of two words.
fn halves_of(a: u32, b: u32) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(a), unpack2x16float(b));
}

// The half that has this index in `word`.
fn half_of(word: u32, index: u32) -> f32 {
    let halves = unpack2x16float(word);
    return select(halves.x, halves.y, (index & 1u) == 1u);
}

// `s` and the products of four rows' quads with a key's.
fn with_products(s: vec4<f32>, q0: vec4<f32>, q1: vec4<f32>, q2: vec4<f32>, q3: vec4<f32>, k: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(
        fma(q0.w, k.w, fma(q0.z, k.z, fma(q0.y, k.y, fma(q0.x, k.x, s.x)))),
        fma(q1.w, k.w, fma(q1.z, k.z, fma(q1.y, k.y, fma(q1.x, k.x, s.y)))),
        fma(q2.w, k.w, fma(q2.z, k.z, fma(q2.y, k.y, fma(q2.x, k.x, s.z)))),
        fma(q3.w, k.w, fma(q3.z, k.z, fma(q3.y, k.y, fma(q3.x, k.x, s.w)))),
    );
}
