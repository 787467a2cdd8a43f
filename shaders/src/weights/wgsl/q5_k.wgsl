// Q5_K: d * s * q - dmin * m, s and m of six bits for each group. Codes 4 words a group, then a
// word of fifth bits for each, then 4 words for 8 groups: d and dmin, then s and m.
#import weights/wgsl/scale_min.wgsl

struct Packed { codes: vec4<u32>, high: u32, block: vec4<u32> }

fn load_packed(base: u32, g: u32) -> Packed {
    return Packed(
        quad(base, g * 4u), word(base, groups_in_row() * 4u + g), quad(base, groups_in_row() * 5u + (g >> 3u) * 4u),
    );
}

fn unpack_codes(own: Packed, g: u32) -> Coded {
    let sm = scale_min(own.block, g & 7u);
    return coded1(with_bits(nibbles(own.codes), own.high, 4u), sm.x, -sm.y);
}
