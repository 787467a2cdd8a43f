// F16: 16 words a group, two weights each.
struct PackedGroup { a: vec4<u32>, b: vec4<u32>, c: vec4<u32>, d: vec4<u32> }

fn float4_of(words: vec2<u32>) -> Float4 {
    return to_float4(vec4<f32>(unpack2x16float(words.x), unpack2x16float(words.y)));
}

fn load_packed(base: u32, g: u32) -> PackedGroup {
    let word = g * 16u;
    return PackedGroup(
        load_vec4(base, word), load_vec4(base, word + 4u),
        load_vec4(base, word + 8u), load_vec4(base, word + 12u),
    );
}

fn unpack(packed: PackedGroup, g: u32) -> ScaledGroup {
    return ScaledGroup(Group(
        float4_of(packed.a.xy), float4_of(packed.a.zw), float4_of(packed.b.xy),
        float4_of(packed.b.zw), float4_of(packed.c.xy), float4_of(packed.c.zw),
        float4_of(packed.d.xy), float4_of(packed.d.zw),
    ), vec2<f32>(1.0), vec2<f32>());
}
