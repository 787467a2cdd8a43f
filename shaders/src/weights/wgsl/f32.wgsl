// F32: 32 words a group, one weight each. Field `v<i>` has the weights from 4 i on.
struct PackedGroup {
    v0: vec4<u32>, v1: vec4<u32>, v2: vec4<u32>, v3: vec4<u32>,
    v4: vec4<u32>, v5: vec4<u32>, v6: vec4<u32>, v7: vec4<u32>,
}

fn load_packed(base: u32, g: u32) -> PackedGroup {
    let word = g * 32u;
    return PackedGroup(
        load_vec4(base, word), load_vec4(base, word + 4u),
        load_vec4(base, word + 8u), load_vec4(base, word + 12u),
        load_vec4(base, word + 16u), load_vec4(base, word + 20u),
        load_vec4(base, word + 24u), load_vec4(base, word + 28u),
    );
}

fn float4_of(words: vec4<u32>) -> Float4 {
    return to_float4(bitcast<vec4<f32>>(words));
}

fn unpack(packed: PackedGroup, g: u32) -> ScaledGroup {
    return ScaledGroup(Group(
        float4_of(packed.v0), float4_of(packed.v1), float4_of(packed.v2), float4_of(packed.v3),
        float4_of(packed.v4), float4_of(packed.v5), float4_of(packed.v6), float4_of(packed.v7),
    ), vec2<f32>(1.0), vec2<f32>());
}
