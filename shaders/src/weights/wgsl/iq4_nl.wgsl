// IQ4_NL: d * VALUES[q]. Codes take 4 words a group; then scales, two a word.
#import weights/wgsl/iq4.wgsl

struct PackedGroup { codes: vec4<u32>, scale: u32 }

fn load_packed(base: u32, g: u32) -> PackedGroup {
    return PackedGroup(load_vec4(base, g * 4u), load_word(base, groups_in_row() * 4u + (g >> 1u)));
}

fn unpack_codes(packed: PackedGroup, g: u32) -> CodedGroup {
    return with_one_scale(lookup_iq4(packed.codes), f16_at(packed.scale, g), 0.0);
}
