// The 16 values that IQ4 codes stand for (ggml's kvalues_iq4nl), as signed bytes. Chosen a bit of the code at a time, of 16 codes
// together: few GPUs have a fast way to index an array of their own.
const BYTE = 0x01010101u; // times a byte: four of it

// In each byte all bits, where the code there has this one.
fn with_bit(codes: vec4<u32>, bit: u32) -> vec4<u32> {
    let bits = (codes >> vec4<u32>(bit)) & vec4<u32>(BYTE);
    return (bits << vec4<u32>(8u)) - bits;
}

// Of two values, the second where the mask is set.
fn value_of(first: u32, second: u32, mask: vec4<u32>) -> vec4<u32> {
    return vec4<u32>(first * BYTE) ^ (vec4<u32>((first ^ second) * BYTE) & mask);
}

fn chosen(first: vec4<u32>, second: vec4<u32>, mask: vec4<u32>) -> vec4<u32> {
    return first ^ ((first ^ second) & mask);
}

fn values16(codes: vec4<u32>) -> vec4<u32> {
    let one = with_bit(codes, 0u);
    let two = with_bit(codes, 1u);
    let four = with_bit(codes, 2u);
    let negative = chosen(
        chosen(value_of(0x81u, 0x98u, one), value_of(0xadu, 0xbfu, one), two), // -127, -104, -83, -65
        chosen(value_of(0xcfu, 0xddu, one), value_of(0xeau, 0xf6u, one), two), // -49, -35, -22, -10
        four,
    );
    let positive = chosen(
        chosen(value_of(0x01u, 0x0du, one), value_of(0x19u, 0x26u, one), two), // 1, 13, 25, 38
        chosen(value_of(0x35u, 0x45u, one), value_of(0x59u, 0x71u, one), two), // 53, 69, 89, 113
        four,
    );
    return chosen(negative, positive, with_bit(codes, 3u));
}

fn looked_up(codes: vec4<u32>) -> Codes {
    return Codes(values16(codes), values16(codes >> vec4<u32>(4u)));
}
