// Vectors of the KV cache. A word holds 1 float, 2 halves, 4 signed bytes or 8 nibbles (less 8); behind the codes of the last
// two kinds come the scales of their groups, halves, two to a word.

// Floats that share a scale.
fn scale_group(dim: u32) -> u32 {
    return min(32u, dim & (~dim + 1u));
}

fn bytes_of(word: u32) -> vec4<f32> {
    return vec4<f32>(bitcast<vec4<i32>>(vec4<u32>(word << 24u, word << 16u, word << 8u, word)) >> vec4<u32>(24u));
}

// Four of a word's nibbles, the ones at `shift` first.
fn nibbles_of(word: u32, shift: u32) -> vec4<f32> {
    return vec4<f32>((vec4<u32>(word >> shift) >> vec4<u32>(0u, 4u, 8u, 12u)) & vec4<u32>(15u)) - 8.0;
}

// The half that has this index in `word`.
fn half_of(word: u32, index: u32) -> f32 {
    let halves = unpack2x16float(word);
    return select(halves.x, halves.y, (index & 1u) == 1u);
}
