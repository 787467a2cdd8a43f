// The 16 values that IQ4 codes stand for (ggml's kvalues_iq4nl), as signed bytes:
// -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113.
//
// Few GPUs have a fast way to look up an array of their own. So each bit of a value is computed
// from the code's four, for eight codes of a word at once. The formulas come from a search for few
// operations; the values are their only meaning.
const FIRST = vec4<u32>(0x11111111u); // the first bit of each nibble
const EVEN = vec4<u32>(0x0f0f0f0fu);  // every second nibble

fn looked_up(codes: vec4<u32>) -> Codes {
    let x0 = codes & FIRST;
    let x1 = (codes >> vec4<u32>(1u)) & FIRST;
    let x2 = (codes >> vec4<u32>(2u)) & FIRST;
    let x3 = (codes >> vec4<u32>(3u)) & FIRST;
    let v7 = x3 ^ FIRST;
    let a = v7 | x0;
    let v6 = (a | x1) & x2;
    let b = (a & x1) ^ x2;
    let v5 = b ^ v6;
    let c = (v7 ^ x0) & x2;
    let d = c | x1;
    let e = c ^ x0;
    let v1 = d & e;
    let f = b ^ x3;
    let v0 = f | (e ^ FIRST);
    let g = f & e;
    let v2 = (c ^ v5) | g;
    let v3 = (d ^ x0) | g;
    let v4 = (v3 & f) ^ (x0 ^ b);
    let low = (v0 + 2u * v1) + 4u * (v2 + 2u * v3);
    let high = (v4 + 2u * v5) + 4u * (v6 + 2u * v7);
    return Codes(
        (low & EVEN) | ((high & EVEN) << vec4<u32>(4u)),
        ((low >> vec4<u32>(4u)) & EVEN) | (high & ~EVEN),
    );
}
