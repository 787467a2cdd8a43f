// F32: 32 words a group.
fn four(base: u32, w: u32) -> vec4<f32> {
    return bitcast<vec4<f32>>(vec4<u32>(word(base, w), word(base, w + 1u), word(base, w + 2u), word(base, w + 3u)));
}

fn load_stored(base: u32, g: u32) -> Stored {
    let w = g * 32u;
    return stored(Group(
        four(base, w), four(base, w + 4u), four(base, w + 8u), four(base, w + 12u),
        four(base, w + 16u), four(base, w + 20u), four(base, w + 24u), four(base, w + 28u),
    ), 1.0, 0.0);
}
