// The 16 values that IQ4 codes stand for (ggml's kvalues_iq4nl).
const VALUES = array<f32, 16>(
    -127.0, -104.0, -83.0, -65.0, -49.0, -35.0, -22.0, -10.0, 1.0, 13.0, 25.0, 38.0, 53.0, 69.0, 89.0, 113.0,
);

fn value4(codes: u32) -> vec4<f32> {
    var values = VALUES;
    return vec4<f32>(
        values[codes & 15u], values[(codes >> 8u) & 15u], values[(codes >> 16u) & 15u], values[(codes >> 24u) & 15u],
    );
}

fn looked_up(base: u32, w: u32) -> Group {
    let i = word(base, w);
    let j = word(base, w + 1u);
    let k = word(base, w + 2u);
    let l = word(base, w + 3u);
    return Group(
        value4(i), value4(j), value4(k), value4(l),
        value4(i >> 4u), value4(j >> 4u), value4(k >> 4u), value4(l >> 4u),
    );
}
