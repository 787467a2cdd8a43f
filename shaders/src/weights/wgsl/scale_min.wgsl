// d * s and dmin * m of group `i` of a block: d and dmin in a word, then eight s and m of six bits
// in three words.
fn scale_min(block: vec4<u32>, i: u32) -> vec2<f32> {
    let bytes = (block.yzw >> vec3<u32>(8u * (i & 3u))) & vec3<u32>(255u);
    let low = bytes.xy & vec2<u32>(63u);
    let high = (vec2<u32>(bytes.z, bytes.z >> 4u) & vec2<u32>(15u))
        | ((bytes.xy >> vec2<u32>(2u)) & vec2<u32>(48u));
    return unpack2x16float(block.x) * vec2<f32>(select(high, low, i < 4u));
}
