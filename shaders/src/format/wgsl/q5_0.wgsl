// Q5_0: d * (q - 16). Codes 4 words a group, then a word of fifth bits for each, then scales, two to a word.
fn load_stored(base: u32, g: u32) -> Stored {
    let d = half_at(base, p.groups * 5u, g);
    let q = with_bits(nibbles(base, g * 4u), word(base, p.groups * 4u + g), 16.0);
    return stored(q, d, -16.0 * d);
}
