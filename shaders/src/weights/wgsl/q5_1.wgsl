// Q5_1: d * q + m. Codes take 4 words a group; then a word of fifth bits for each group; then a
// word of scale and minimum for each.
struct PackedGroup { codes: vec4<u32>, high: u32, scale: u32 }

fn load_packed(base: u32, g: u32) -> PackedGroup {
    return PackedGroup(
        load_vec4(base, g * 4u), load_word(base, groups_in_row() * 4u + g),
        load_word(base, groups_in_row() * 5u + g),
    );
}

fn unpack_codes(packed: PackedGroup, g: u32) -> CodedGroup {
    let dm = unpack2x16float(packed.scale);
    return with_one_scale(add_high_bits(unpack_4bit(packed.codes), packed.high, 4u), dm.x, dm.y);
}
