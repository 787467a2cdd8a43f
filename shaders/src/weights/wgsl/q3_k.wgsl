// Q3_K: d * (s - 32) * q for every 16 weights, q from -4 to 3. A third bit of 0 subtracts 4.
// Codes take 2 words a group; then a word of third bits for each group. Then each block of 8 groups
// has 4 words: 16 six-bit scales, then d.
struct PackedGroup { codes: vec2<u32>, high: u32, block: vec4<u32> }

fn load_packed(base: u32, g: u32) -> PackedGroup {
    return PackedGroup(
        vec2<u32>(load_word(base, g * 2u), load_word(base, g * 2u + 1u)),
        load_word(base, groups_in_row() * 2u + g),
        load_vec4(base, groups_in_row() * 3u + (g >> 3u) * 4u),
    );
}

fn scale_of(block: vec4<u32>, i: u32) -> f32 {
    let low = (block[(i >> 2u) & 1u] >> (8u * (i & 3u) + 4u * (i >> 3u))) & 15u;
    let high = (block.z >> (8u * (i & 3u) + 2u * (i >> 2u))) & 3u;
    return f32(low | (high << 4u)) - 32.0;
}

fn unpack_codes(packed: PackedGroup, g: u32) -> CodedGroup {
    let d = unpack2x16float(packed.block.w).x;
    let i = (g & 7u) * 2u;
    let first = d * scale_of(packed.block, i);
    let second = d * scale_of(packed.block, i + 1u);
    let codes = add_high_bits(unpack_2bit(packed.codes), packed.high, 2u);
    return with_two_scales(codes, first, -4.0 * first, second, -4.0 * second);
}
