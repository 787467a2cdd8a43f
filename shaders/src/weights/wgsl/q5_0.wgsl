// Q5_0: d * (q - 16). Codes 4 words a group, then a word of fifth bits for each, then scales, two
// to a word.
struct Packed { codes: vec4<u32>, high: u32, scale: u32 }

fn load_packed(base: u32, g: u32) -> Packed {
    return Packed(quad(base, g * 4u), word(base, groups_in_row() * 4u + g), word(base, groups_in_row() * 5u + (g >> 1u)));
}

fn unpack_codes(own: Packed, g: u32) -> Coded {
    let d = half_of(own.scale, g);
    return coded1(with_bits(nibbles(own.codes), own.high, 4u), d, -16.0 * d);
}
