// The 16 values that IQ4 codes stand for (ggml's kvalues_iq4nl).
const VALUES = array<f32, 16>(
    -127.0, -104.0, -83.0, -65.0, -49.0, -35.0, -22.0, -10.0, 1.0, 13.0, 25.0, 38.0, 53.0, 69.0, 89.0, 113.0,
);

fn value4(codes: u32) -> Four {
    var values = VALUES;
    return four(vec4<f32>(
        values[codes & 15u], values[(codes >> 8u) & 15u], values[(codes >> 16u) & 15u], values[(codes >> 24u) & 15u],
    ));
}

fn looked_up(codes: vec4<u32>) -> Group {
    let high = codes >> vec4<u32>(4u);
    return Group(
        value4(codes.x), value4(codes.y), value4(codes.z), value4(codes.w),
        value4(high.x), value4(high.y), value4(high.z), value4(high.w),
    );
}
