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

fn unpack(own: Packed, g: u32) -> Stored {
    return Stored(Group(
        bitcast<vec4<f32>>(own.a), bitcast<vec4<f32>>(own.b), bitcast<vec4<f32>>(own.c), bitcast<vec4<f32>>(own.d),
        bitcast<vec4<f32>>(own.e), bitcast<vec4<f32>>(own.f), bitcast<vec4<f32>>(own.g), bitcast<vec4<f32>>(own.h),
    ), vec2<f32>(1.0), vec2<f32>());
}
