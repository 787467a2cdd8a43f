// Q6_K: d * s * (q - 32) for every 16 weights, s a signed byte.
// Low codes 4 words a group, then high pairs of bits 2 words a group, then 5 words for 8 groups: 16 s, then d.
fn load_stored(base: u32, g: u32) -> Stored {
    let block = p.groups * 6u + (g / 8u) * 5u;
    let d = unpack2x16float(word(base, block + 4u)).x;
    let s = d * signed4(word(base, block + (g % 8u) / 2u) >> (16u * (g & 1u)));
    let low = nibbles(base, g * 4u);
    let high = pairs(base, p.groups * 4u + g * 2u);
    let q = Group(
        low.a + 16.0 * high.a, low.b + 16.0 * high.b, low.c + 16.0 * high.c, low.d + 16.0 * high.d,
        low.e + 16.0 * high.e, low.f + 16.0 * high.f, low.g + 16.0 * high.g, low.h + 16.0 * high.h,
    );
    return stored2(q, s.x, -32.0 * s.x, s.y, -32.0 * s.y);
}
