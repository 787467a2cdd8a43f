// Q6_K: d * s * (q - 32) for every 16 weights, s a signed byte. Low codes 4 words a group, then
// high pairs of bits 2 words a group, then 5 words for 8 groups: 16 s, then d.
struct Packed { codes: vec4<u32>, high: vec2<u32>, scales: u32, d: u32 }

fn load_packed(base: u32, g: u32) -> Packed {
    let high = groups_in_row() * 4u + g * 2u;
    let block = groups_in_row() * 6u + (g >> 3u) * 5u;
    return Packed(
        quad(base, g * 4u), vec2<u32>(word(base, high), word(base, high + 1u)),
        word(base, block + ((g & 7u) >> 1u)), word(base, block + 4u),
    );
}

fn unpack_codes(own: Packed, g: u32) -> Coded {
    let s = unpack2x16float(own.d).x * vec2<f32>(signed_byte(own.scales, (g & 1u) * 16u), signed_byte(own.scales, (g & 1u) * 16u + 8u));
    let low = nibbles(own.codes);
    let high = pairs(own.high);
    let q = Codes(low.a | (high.a << vec4<u32>(4u)), low.b | (high.b << vec4<u32>(4u)));
    return coded2(q, s.x, -32.0 * s.x, s.y, -32.0 * s.y);
}

// The signed byte that begins `place` bits from the right.
fn signed_byte(word: u32, place: u32) -> f32 {
    return f32(extractBits(bitcast<i32>(word), place, 8u));
}
