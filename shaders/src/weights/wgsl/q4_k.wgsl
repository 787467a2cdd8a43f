// Q4_K: d * s * q - dmin * m, s and m of six bits for each group.
// Codes 4 words a group, then 4 words for 8 groups: d and dmin, then s and m.
#import weights/wgsl/scale_min.wgsl

struct Packed { codes: vec4<u32>, block: vec4<u32> }

fn load_packed(base: u32, g: u32) -> Packed {
    return Packed(quad(base, g * 4u), quad(base, groups_in_row() * 4u + (g >> 3u) * 4u));
}

fn unpack_codes(own: Packed, g: u32) -> Coded {
    let sm = scale_min(own.block, g & 7u);
    return coded1(nibbles(own.codes), sm.x, -sm.y);
}
