// BF16: 16 words a group, two weights each; a bfloat16 is the upper half of an f32.
fn four(base: u32, w: u32) -> vec4<f32> {
    return bitcast<vec4<f32>>(vec4<u32>(word(base, w) << 16u, word(base, w) & 0xffff0000u, word(base, w + 1u) << 16u, word(base, w + 1u) & 0xffff0000u));
}

fn load_stored(base: u32, g: u32) -> Stored {
    let w = g * 16u;
    return stored(Group(
        four(base, w), four(base, w + 2u), four(base, w + 4u), four(base, w + 6u),
        four(base, w + 8u), four(base, w + 10u), four(base, w + 12u), four(base, w + 14u),
    ), 1.0, 0.0);
}
