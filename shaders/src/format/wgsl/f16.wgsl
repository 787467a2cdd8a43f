// F16: 16 words a group, two halves each.
fn four(base: u32, w: u32) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(word(base, w)), unpack2x16float(word(base, w + 1u)));
}

fn load_stored(base: u32, g: u32) -> Stored {
    let w = g * 16u;
    return stored(Group(
        four(base, w), four(base, w + 2u), four(base, w + 4u), four(base, w + 6u),
        four(base, w + 8u), four(base, w + 10u), four(base, w + 12u), four(base, w + 14u),
    ), 1.0, 0.0);
}
