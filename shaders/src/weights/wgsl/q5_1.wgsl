// Q5_1: d * q + m. Codes 4 words a group, then a word of fifth bits for each, then a word of scale
// and minimum.
struct Packed { codes: vec4<u32>, high: u32, scale: u32 }

fn load_packed(base: u32, g: u32) -> Packed {
    return Packed(quad(base, g * 4u), word(base, groups_in_row() * 4u + g), word(base, groups_in_row() * 5u + g));
}

fn unpack_codes(own: Packed, g: u32) -> Coded {
    let dm = unpack2x16float(own.scale);
    return coded1(with_bits(nibbles(own.codes), own.high, 4u), dm.x, dm.y);
}
