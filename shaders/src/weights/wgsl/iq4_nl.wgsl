// IQ4_NL: d * VALUES[q]. Codes 4 words a group, then scales, two to a word.
#import weights/wgsl/iq4.wgsl

struct Packed { codes: vec4<u32>, scale: u32 }

fn load_packed(base: u32, g: u32) -> Packed {
    return Packed(quad(base, g * 4u), word(base, groups_in_row() * 4u + (g >> 1u)));
}

fn unpack_codes(own: Packed, g: u32) -> Coded {
    return coded1(looked_up(own.codes), half_of(own.scale, g), 0.0);
}
