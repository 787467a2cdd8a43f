// IQ4_XS: d * (s - 32) * VALUES[q], with s of six bits for each group.
// Codes take 4 words a group. Then each block of 8 groups has 2 words: d and the upper two bits of
// each s, then the lower four bits of each s.
#import weights/wgsl/iq4.wgsl

struct PackedGroup { codes: vec4<u32>, block: vec2<u32> }

fn load_packed(base: u32, g: u32) -> PackedGroup {
    let block = groups_in_row() * 4u + (g >> 3u) * 2u;
    return PackedGroup(
        load_vec4(base, g * 4u), vec2<u32>(load_word(base, block), load_word(base, block + 1u)),
    );
}

fn unpack_codes(packed: PackedGroup, g: u32) -> CodedGroup {
    let i = g & 7u;
    let low = (packed.block.y >> (4u * i)) & 15u;
    let s = low | (((packed.block.x >> (16u + 2u * i)) & 3u) << 4u);
    return with_one_scale(
        lookup_iq4(packed.codes), unpack2x16float(packed.block.x).x * (f32(s) - 32.0), 0.0,
    );
}
