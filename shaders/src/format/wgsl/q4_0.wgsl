// Q4_0: d * (q - 8). Codes 4 words a group, then scales, two to a word.
fn load_stored(base: u32, g: u32) -> Stored {
    let d = half_at(base, p.groups * 4u, g);
    return stored(nibbles(base, g * 4u), d, -8.0 * d);
}
