// IQ4_XS: d * (s - 32) * VALUES[q], s of six bits for each group. Codes 4 words a group, then 2
// words for 8 groups: d and the scales' high pairs of bits, then their low nibbles.
#import weights/wgsl/iq4.wgsl

struct Packed { codes: vec4<u32>, block: vec2<u32> }

fn load_packed(base: u32, g: u32) -> Packed {
    let block = groups_in_row() * 4u + (g >> 3u) * 2u;
    return Packed(quad(base, g * 4u), vec2<u32>(word(base, block), word(base, block + 1u)));
}

fn unpack_codes(own: Packed, g: u32) -> Coded {
    let i = g & 7u;
    let s = ((own.block.y >> (4u * i)) & 15u) | (((own.block.x >> (16u + 2u * i)) & 3u) << 4u);
    return coded1(looked_up(own.codes), unpack2x16float(own.block.x).x * (f32(s) - 32.0), 0.0);
}
