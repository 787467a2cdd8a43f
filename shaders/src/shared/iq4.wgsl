// The 16 values that IQ4 codes stand for (ggml's kvalues_iq4nl), as signed bytes:
// -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113.
const VALUES = array<u32, 16>(
    0x81u, 0x98u, 0xadu, 0xbfu, 0xcfu, 0xddu, 0xeau, 0xf6u, 0x01u, 0x0du, 0x19u, 0x26u, 0x35u, 0x45u, 0x59u, 0x71u,
);

fn value4(codes: u32) -> u32 {
    var values = VALUES;
    return values[codes & 15u] | (values[(codes >> 8u) & 15u] << 8u) | (values[(codes >> 16u) & 15u] << 16u)
        | (values[(codes >> 24u) & 15u] << 24u);
}

fn values16(codes: vec4<u32>) -> vec4<u32> {
    return vec4<u32>(value4(codes.x), value4(codes.y), value4(codes.z), value4(codes.w));
}

fn looked_up(codes: vec4<u32>) -> Codes {
    return Codes(values16(codes), values16(codes >> vec4<u32>(4u)));
}
