// Q4_K: d * s * q - dmin * m, s and m of six bits for each group.
// Codes 4 words a group, then 4 words for 8 groups: d and dmin, then s and m.
#import scale_min

fn load_stored(base: u32, g: u32) -> Stored {
    let block = p.groups * 4u + (g / 8u) * 4u;
    let dm = unpack2x16float(word(base, block));
    let sm = dm * scale_min(word(base, block + 1u), word(base, block + 2u), word(base, block + 3u), g % 8u);
    return stored(nibbles(base, g * 4u), sm.x, -sm.y);
}
