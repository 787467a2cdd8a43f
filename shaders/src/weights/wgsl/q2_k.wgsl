// Q2_K: d * s * q - dmin * m for every 16 weights; s and m are the nibbles of a byte.
// Codes take 2 words a group. Then each block of 8 groups has 5 words: 16 bytes of s and m, then d
// and dmin.
struct PackedGroup { codes: vec2<u32>, scales: u32, dm: u32 }

fn load_packed(base: u32, g: u32) -> PackedGroup {
    let block = groups_in_row() * 2u + (g >> 3u) * 5u;
    return PackedGroup(
        vec2<u32>(load_word(base, g * 2u), load_word(base, g * 2u + 1u)),
        load_word(base, block + ((g & 7u) >> 1u)), load_word(base, block + 4u),
    );
}

fn unpack_codes(packed: PackedGroup, g: u32) -> CodedGroup {
    let dm = unpack2x16float(packed.dm);
    let sm = packed.scales >> (16u * (g & 1u));
    let first = vec2<f32>(f32(sm & 15u), f32((sm >> 4u) & 15u)) * dm;
    let second = vec2<f32>(f32((sm >> 8u) & 15u), f32((sm >> 12u) & 15u)) * dm;
    return with_two_scales(unpack_2bit(packed.codes), first.x, -first.y, second.x, -second.y);
}
