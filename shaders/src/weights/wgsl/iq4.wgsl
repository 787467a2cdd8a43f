// The 16 values that IQ4 codes index (ggml's kvalues_iq4nl), as signed bytes:
// -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113.
//
// Few GPUs index an array of constants fast. So each bit of a value is computed from the four bits
// of the code, for eight codes of a word at once. A search for few operations found the formulas;
// only their results have a meaning.
const LOW_BITS = vec4<u32>(0x11111111u); // the lowest bit of each nibble
const LOW_NIBBLES = vec4<u32>(0x0f0f0f0fu);

fn lookup_iq4(codes: vec4<u32>) -> Codes {
    let x0 = codes & LOW_BITS;
    let x1 = (codes >> vec4<u32>(1u)) & LOW_BITS;
    let x2 = (codes >> vec4<u32>(2u)) & LOW_BITS;
    let x3 = (codes >> vec4<u32>(3u)) & LOW_BITS;
    let v7 = x3 ^ LOW_BITS;
    let a = v7 | x0;
    let v6 = (a | x1) & x2;
    let b = (a & x1) ^ x2;
    let v5 = b ^ v6;
    let c = (v7 ^ x0) & x2;
    let d = c | x1;
    let e = c ^ x0;
    let v1 = d & e;
    let f = b ^ x3;
    let v0 = f | (e ^ LOW_BITS);
    let g = f & e;
    let v2 = (c ^ v5) | g;
    let v3 = (d ^ x0) | g;
    let v4 = (v3 & f) ^ (x0 ^ b);
    let low = (v0 + 2u * v1) + 4u * (v2 + 2u * v3);
    let high = (v4 + 2u * v5) + 4u * (v6 + 2u * v7);
    return Codes(
        (low & LOW_NIBBLES) | ((high & LOW_NIBBLES) << vec4<u32>(4u)),
        ((low >> vec4<u32>(4u)) & LOW_NIBBLES) | (high & ~LOW_NIBBLES),
    );
}
