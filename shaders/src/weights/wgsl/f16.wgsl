// F16: 16 words a group, two halves each.
struct Packed { a: vec4<u32>, b: vec4<u32>, c: vec4<u32>, d: vec4<u32> }

fn four_of(words: vec2<u32>) -> Four {
    return four(vec4<f32>(unpack2x16float(words.x), unpack2x16float(words.y)));
}

fn load_packed(base: u32, g: u32) -> Packed {
    let w = g * 16u;
    return Packed(quad(base, w), quad(base, w + 4u), quad(base, w + 8u), quad(base, w + 12u));
}

fn unpack(own: Packed, g: u32) -> Stored {
    return Stored(Group(
        four_of(own.a.xy), four_of(own.a.zw), four_of(own.b.xy), four_of(own.b.zw), four_of(own.c.xy), four_of(own.c.zw), four_of(own.d.xy), four_of(own.d.zw),
    ), vec2<f32>(1.0), vec2<f32>());
}
