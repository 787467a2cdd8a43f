// Q6_K: d * s * (q - 32) for every 16 weights, s a signed byte.
// The lower four bits of codes take 4 words a group, the upper two bits 2 words a group. Then each
// block of 8 groups has 5 words: 16 s, then d.
struct PackedGroup { codes: vec4<u32>, high: vec2<u32>, scales: u32, d: u32 }

fn load_packed(base: u32, g: u32) -> PackedGroup {
    let high = groups_in_row() * 4u + g * 2u;
    let block = groups_in_row() * 6u + (g >> 3u) * 5u;
    return PackedGroup(
        load_vec4(base, g * 4u), vec2<u32>(load_word(base, high), load_word(base, high + 1u)),
        load_word(base, block + ((g & 7u) >> 1u)), load_word(base, block + 4u),
    );
}

fn unpack_codes(packed: PackedGroup, g: u32) -> CodedGroup {
    let s = unpack2x16float(packed.d).x * vec2<f32>(
        signed_byte(packed.scales, (g & 1u) * 16u), signed_byte(packed.scales, (g & 1u) * 16u + 8u),
    );
    let low = unpack_4bit(packed.codes);
    let high = unpack_2bit(packed.high);
    let codes = Codes(
        low.first | (high.first << vec4<u32>(4u)), low.second | (high.second << vec4<u32>(4u)),
    );
    return with_two_scales(codes, s.x, -32.0 * s.x, s.y, -32.0 * s.y);
}

// The signed byte at bit `place` of a word.
fn signed_byte(word: u32, place: u32) -> f32 {
    return f32(extractBits(bitcast<i32>(word), place, 8u));
}
