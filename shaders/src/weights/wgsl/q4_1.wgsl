// Q4_1: d * q + m. Codes 4 words a group, then a word of scale and minimum for each.
struct Packed { codes: vec4<u32>, scale: u32 }

fn load_packed(base: u32, g: u32) -> Packed {
    return Packed(quad(base, g * 4u), word(base, groups_in_row() * 4u + g));
}

fn unpack_codes(own: Packed, g: u32) -> Coded {
    let dm = unpack2x16float(own.scale);
    return coded1(nibbles(own.codes), dm.x, dm.y);
}
