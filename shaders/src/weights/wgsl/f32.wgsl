// F32: 32 words a group.
struct Packed {
    a: vec4<u32>, b: vec4<u32>, c: vec4<u32>, d: vec4<u32>,
    e: vec4<u32>, f: vec4<u32>, g: vec4<u32>, h: vec4<u32>,
}

fn load_packed(base: u32, g: u32) -> Packed {
    let w = g * 32u;
    return Packed(
        quad(base, w), quad(base, w + 4u), quad(base, w + 8u), quad(base, w + 12u),
        quad(base, w + 16u), quad(base, w + 20u), quad(base, w + 24u), quad(base, w + 28u),
    );
}

fn four_of(words: vec4<u32>) -> Four {
    return four(bitcast<vec4<f32>>(words));
}

fn unpack(own: Packed, g: u32) -> Stored {
    return Stored(Group(
        four_of(own.a), four_of(own.b), four_of(own.c), four_of(own.d),
        four_of(own.e), four_of(own.f), four_of(own.g), four_of(own.h),
    ), vec2<f32>(1.0), vec2<f32>());
}
