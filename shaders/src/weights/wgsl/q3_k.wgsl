// Q3_K: d * (s - 32) * q for every 16 weights, q from -4 to 3; its third bit, where not set, takes
// 4 off. Codes 2 words a group, then a word of third bits for each, then 4 words for 8 groups: 16
// six-bit scales, then d.
struct Packed { codes: vec2<u32>, high: u32, block: vec4<u32> }

fn load_packed(base: u32, g: u32) -> Packed {
    return Packed(
        vec2<u32>(word(base, g * 2u), word(base, g * 2u + 1u)), word(base, groups_in_row() * 2u + g),
        quad(base, groups_in_row() * 3u + (g >> 3u) * 4u),
    );
}

fn scale_of(block: vec4<u32>, i: u32) -> f32 {
    let nibble = (block[(i >> 2u) & 1u] >> (8u * (i & 3u) + 4u * (i >> 3u))) & 15u;
    let pair = (block.z >> (8u * (i & 3u) + 2u * (i >> 2u))) & 3u;
    return f32(nibble | (pair << 4u)) - 32.0;
}

fn unpack_codes(own: Packed, g: u32) -> Coded {
    let d = unpack2x16float(own.block.w).x;
    let i = (g & 7u) * 2u;
    let first = d * scale_of(own.block, i);
    let second = d * scale_of(own.block, i + 1u);
    return coded2(with_bits(pairs(own.codes), own.high, 2u), first, -4.0 * first, second, -4.0 * second);
}
