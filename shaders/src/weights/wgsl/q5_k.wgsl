// Q5_K: d * s * q - dmin * m, with s and m of six bits for each group.
// Codes take 4 words a group; then a word of fifth bits for each group. Then each block of 8 groups
// has 4 words: d and dmin, then s and m.
#import weights/wgsl/scale_min.wgsl

struct PackedGroup { codes: vec4<u32>, high: u32, block: vec4<u32> }

fn load_packed(base: u32, g: u32) -> PackedGroup {
    return PackedGroup(
        load_vec4(base, g * 4u), load_word(base, groups_in_row() * 4u + g),
        load_vec4(base, groups_in_row() * 5u + (g >> 3u) * 4u),
    );
}

fn unpack_codes(packed: PackedGroup, g: u32) -> CodedGroup {
    let sm = scale_min(packed.block, g & 7u);
    return with_one_scale(add_high_bits(unpack_4bit(packed.codes), packed.high, 4u), sm.x, -sm.y);
}
