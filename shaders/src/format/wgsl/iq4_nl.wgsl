// IQ4_NL: d * VALUES[q]. Codes 4 words a group, then scales, two to a word.
#import iq4

fn load_stored(base: u32, g: u32) -> Stored {
    return stored(looked_up(base, g * 4u), half_at(base, p.groups * 4u, g), 0.0);
}
