// Q8_0: d * q. Codes 8 words a group, then scales, two to a word.
struct Packed { low: vec4<u32>, high: vec4<u32>, scale: u32 }

fn load_packed(base: u32, g: u32) -> Packed {
    return Packed(quad(base, g * 8u), quad(base, g * 8u + 4u), word(base, groups_in_row() * 8u + (g >> 1u)));
}

fn unpack_codes(own: Packed, g: u32) -> Coded {
    return coded1(Codes(own.low, own.high), half_of(own.scale, g), 0.0);
}
