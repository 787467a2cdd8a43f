// Q5_1: d * q + m. Codes 4 words a group, then a word of fifth bits for each, then a word of scale and minimum.
fn load_stored(base: u32, g: u32) -> Stored {
    let dm = unpack2x16float(word(base, p.groups * 5u + g));
    let q = with_bits(nibbles(base, g * 4u), word(base, p.groups * 4u + g), 16.0);
    return stored(q, dm.x, dm.y);
}
