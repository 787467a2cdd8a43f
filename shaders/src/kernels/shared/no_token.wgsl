// The token id where no token can be chosen. Rust: `sample::NO_TOKEN`.
//
// The functions test bits, because compilers may assume that floats are finite and remove
// comparisons with infinity.

const NO_TOKEN = 0xffffffffu;

// The largest finite float. It marks a maximum over logits of which one is NaN. Plus infinity is
// above it.
const NOT_FINITE = 0x1.fffffep+127;

// The bits of the absolute values. The bits of NaN are above those of infinity.
fn magnitude_bits(v: vec4<f32>) -> vec4<u32> {
    return bitcast<vec4<u32>>(v) & vec4<u32>(0x7fffffffu);
}

fn has_nan(largest: vec4<u32>) -> bool {
    return any(largest > vec4<u32>(0x7f800000u));
}

// Whether a maximum is NOT_FINITE or above. The bits of positive floats order like the floats.
fn is_not_finite(largest: f32) -> bool {
    return bitcast<i32>(largest) >= 0x7f7fffff;
}
