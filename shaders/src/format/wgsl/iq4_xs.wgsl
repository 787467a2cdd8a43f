// IQ4_XS: d * (s - 32) * VALUES[q], s of six bits for each group.
// Codes 4 words a group, then 2 words for 8 groups: d and the scales' high pairs of bits, then their low nibbles.
#import iq4

fn load_stored(base: u32, g: u32) -> Stored {
    let block = p.groups * 4u + (g / 8u) * 2u;
    let head = word(base, block);
    let i = g % 8u;
    let s = ((word(base, block + 1u) >> (4u * i)) & 15u) | (((head >> (16u + 2u * i)) & 3u) << 4u);
    return stored(looked_up(base, g * 4u), unpack2x16float(head).x * (f32(s) - 32.0), 0.0);
}
