// Q6_K: d * s * (q - 32) for every 16 weights, s a signed byte.
// Low codes 4 words a group, then high pairs of bits 2 words a group, then 5 words for 8 groups: 16 s, then d.
struct Packed { codes: vec4<u32>, high: vec2<u32>, scales: u32, d: u32 }

fn load_packed(base: u32, g: u32) -> Packed {
    let high = p.groups * 4u + g * 2u;
    let block = p.groups * 6u + (g / 8u) * 5u;
    return Packed(
        quad(base, g * 4u), vec2<u32>(word(base, high), word(base, high + 1u)),
        word(base, block + (g % 8u) / 2u), word(base, block + 4u),
    );
}

fn unpack(own: Packed, g: u32) -> Stored {
    let s = unpack2x16float(own.d).x * signed_bytes(own.scales >> (16u * (g & 1u)));
    let low = nibbles(own.codes);
    let high = pairs(own.high);
    let q = Group(
        low.a + 16.0 * high.a, low.b + 16.0 * high.b, low.c + 16.0 * high.c, low.d + 16.0 * high.d,
        low.e + 16.0 * high.e, low.f + 16.0 * high.f, low.g + 16.0 * high.g, low.h + 16.0 * high.h,
    );
    return stored2(q, s.x, -32.0 * s.x, s.y, -32.0 * s.y);
}
