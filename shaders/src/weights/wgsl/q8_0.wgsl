// Q8_0: d * q. Codes take 8 words a group; then scales, two a word.
struct PackedGroup { low: vec4<u32>, high: vec4<u32>, scale: u32 }

fn load_packed(base: u32, g: u32) -> PackedGroup {
    return PackedGroup(
        load_vec4(base, g * 8u), load_vec4(base, g * 8u + 4u),
        load_word(base, groups_in_row() * 8u + (g >> 1u)),
    );
}

fn unpack_codes(packed: PackedGroup, g: u32) -> CodedGroup {
    return with_one_scale(Codes(packed.low, packed.high), f16_at(packed.scale, g), 0.0);
}
