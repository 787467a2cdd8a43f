// Rotates pairs by their position. The importing kernel declares `tables` and `p.rotary_dim`.
//
// A position is 1024 a + b. Its rotation is the product of row b of the fine table and row a of the
// coarse one, both computed in f64. The GPU computes no cosine: drivers are inaccurate for large
// angles.

// The product of two rotations, each (cos, sin).
fn multiply_rotations(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
    return vec2<f32>(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x);
}

// Pair `i` of a head, rotated by `position`. Pairs beyond `rotary_dim` stay as they are.
fn rotate(pair: vec2<f32>, position: u32, i: u32) -> vec2<f32> {
    let pairs = p.rotary_dim / 2u;
    if i >= pairs {
        return pair;
    }
    let fine = tables[(position & 1023u) * pairs + i];
    let coarse = tables[(1024u + (position >> 10u)) * pairs + i];
    return multiply_rotations(pair, multiply_rotations(fine, coarse));
}

// `x` rounded to 11 significant bits, ties to even. One vendor's compiler removes the rounding of
// a pack2x16float that is unpacked again.
fn round_to_f16(x: f32) -> f32 {
    let bits = bitcast<u32>(x);
    return bitcast<f32>((bits + 0xfffu + ((bits >> 13u) & 1u)) & 0xffffe000u);
}
