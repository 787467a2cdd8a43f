// Q8_0: d * q. Codes 8 words a group, then scales, two to a word.
struct Packed { low: vec4<u32>, high: vec4<u32>, scale: u32 }

fn load_packed(base: u32, g: u32) -> Packed {
    return Packed(quad(base, g * 8u), quad(base, g * 8u + 4u), word(base, p.groups * 8u + g / 2u));
}

fn unpack(own: Packed, g: u32) -> Stored {
    let q = Group(
        signed4(own.low.x), signed4(own.low.y), signed4(own.low.z), signed4(own.low.w),
        signed4(own.high.x), signed4(own.high.y), signed4(own.high.z), signed4(own.high.w),
    );
    return stored(q, half_of(own.scale, g), 0.0);
}
