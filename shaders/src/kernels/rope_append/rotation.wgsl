// The rotation of pairs by their position. It needs `tables` and the parameter `rotary_dim`.
//
// A position is 1024 a + b: its rotation is the product of row a of one table and row b of another,
// both made in f64. No cosine is taken here: drivers are far off for large angles.
fn turn(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
    return vec2<f32>(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x);
}

fn rotated(pair: vec2<f32>, position: u32, i: u32) -> vec2<f32> {
    let pairs = p.rotary_dim / 2u;
    if i >= pairs {
        return pair;
    }
    let fine = tables[(position & 1023u) * pairs + i];
    let coarse = tables[(1024u + (position >> 10u)) * pairs + i];
    return turn(pair, turn(fine, coarse));
}

// To the nearest number with 11 significant bits, ties to even. Packing and unpacking would do, but
// one vendor's compiler leaves both out.
fn rounded_to_half(x: f32) -> f32 {
    let bits = bitcast<u32>(x);
    return bitcast<f32>((bits + 0xfffu + ((bits >> 13u) & 1u)) & 0xffffe000u);
}
