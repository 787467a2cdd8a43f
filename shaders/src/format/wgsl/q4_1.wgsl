// Q4_1: d * q + m. Codes 4 words a group, then a word of scale and minimum for each.
fn load_stored(base: u32, g: u32) -> Stored {
    let dm = unpack2x16float(word(base, p.groups * 4u + g));
    return stored(nibbles(base, g * 4u), dm.x, dm.y);
}
