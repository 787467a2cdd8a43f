// Q3_K: d * (s - 32) * q for every 16 weights, q from -4 to 3; its third bit, where not set, takes 4 off.
// Codes 2 words a group, then a word of third bits for each, then 4 words for 8 groups: 16 six-bit scales, then d.
fn scale_of(low: vec2<u32>, high: u32, i: u32) -> f32 {
    let nibble = (low[(i / 4u) & 1u] >> (8u * (i & 3u) + 4u * (i / 8u))) & 15u;
    let pair = (high >> (8u * (i & 3u) + 2u * (i / 4u))) & 3u;
    return f32(nibble | (pair << 4u)) - 32.0;
}

fn load_stored(base: u32, g: u32) -> Stored {
    let block = p.groups * 3u + (g / 8u) * 4u;
    let low = vec2<u32>(word(base, block), word(base, block + 1u));
    let high = word(base, block + 2u);
    let d = unpack2x16float(word(base, block + 3u)).x;
    let i = (g % 8u) * 2u;
    let first = d * scale_of(low, high, i);
    let second = d * scale_of(low, high, i + 1u);
    let q = with_bits(pairs(base, g * 2u), word(base, p.groups * 2u + g), 4.0);
    return stored2(q, first, -4.0 * first, second, -4.0 * second);
}
