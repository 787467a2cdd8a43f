// F16: 16 words a group, two halves each.
struct Packed { a: vec4<u32>, b: vec4<u32>, c: vec4<u32>, d: vec4<u32> }

fn four(words: vec2<u32>) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(words.x), unpack2x16float(words.y));
}

fn load_packed(base: u32, g: u32) -> Packed {
    let w = g * 16u;
    return Packed(quad(base, w), quad(base, w + 4u), quad(base, w + 8u), quad(base, w + 12u));
}

fn unpack(own: Packed, g: u32) -> Stored {
    return Stored(Group(
        four(own.a.xy), four(own.a.zw), four(own.b.xy), four(own.b.zw), four(own.c.xy), four(own.c.zw), four(own.d.xy), four(own.d.zw),
    ), vec2<f32>(1.0), vec2<f32>());
}
