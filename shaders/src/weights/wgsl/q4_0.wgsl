// Q4_0: d * (q - 8). Codes 4 words a group, then scales, two to a word.
struct Packed { codes: vec4<u32>, scale: u32 }

fn load_packed(base: u32, g: u32) -> Packed {
    return Packed(quad(base, g * 4u), word(base, groups_in_row() * 4u + (g >> 1u)));
}

fn unpack_codes(own: Packed, g: u32) -> Coded {
    let d = half_of(own.scale, g);
    return coded1(nibbles(own.codes), d, -8.0 * d);
}
