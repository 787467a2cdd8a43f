// The choice among logits that are not numbers. Rust: `NO_TOKEN`.
//
// Tests look at bits: compilers may assume that floats are finite, and fold comparisons away.

const NO_TOKEN = 0xffffffffu;

// The largest finite float. It stands for a maximum over logits of which one is NaN; plus infinity
// is above it.
const NOT_FINITE = 0x1.fffffep+127;

// The bits of the absolute values: those of NaN are above those of infinity.
fn magnitude_bits(v: vec4<f32>) -> vec4<u32> {
    return bitcast<vec4<u32>>(v) & vec4<u32>(0x7fffffffu);
}

fn has_nan(largest: vec4<u32>) -> bool {
    return any(largest > vec4<u32>(0x7f800000u));
}

// Whether a maximum is NOT_FINITE or above. As signed integers, the bits of positive floats order
// as the floats do.
fn is_not_finite(largest: f32) -> bool {
    return bitcast<i32>(largest) >= 0x7f7fffff;
}
