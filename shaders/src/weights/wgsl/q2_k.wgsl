// Q2_K: d * s * q - dmin * m for every 16 weights; s and m are the halves of a byte.
// Codes 2 words a group, then 5 words for 8 groups: 16 bytes of s and m, then d and dmin.
struct Packed { codes: vec2<u32>, scales: u32, dm: u32 }

fn load_packed(base: u32, g: u32) -> Packed {
    let block = groups_in_row() * 2u + (g >> 3u) * 5u;
    return Packed(
        vec2<u32>(word(base, g * 2u), word(base, g * 2u + 1u)), word(base, block + ((g & 7u) >> 1u)), word(base, block + 4u),
    );
}

fn unpack_codes(own: Packed, g: u32) -> Coded {
    let dm = unpack2x16float(own.dm);
    let sm = own.scales >> (16u * (g & 1u));
    let first = vec2<f32>(f32(sm & 15u), f32((sm >> 4u) & 15u)) * dm;
    let second = vec2<f32>(f32((sm >> 8u) & 15u), f32((sm >> 12u) & 15u)) * dm;
    return coded2(pairs(own.codes), first.x, -first.y, second.x, -second.y);
}
