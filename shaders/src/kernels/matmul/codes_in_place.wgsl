// Dot products of groups for CPU drivers without subgroups.
//
// SwiftShader, the CPU driver of browsers, keeps little in registers and shifts lane by lane. So
// codes are converted at their place in the word, and x is scaled to match; and multiply-adds come
// one after the other.
#ifdef CODES
#ifdef SIGNED
// Each code is moved to the highest byte, which has the sign.
const PLACE_UNITS = vec4<f32>(0.000000059604644775390625);
#else
const PLACE_UNITS = vec4<f32>(1.0, 0.00390625, 0.0000152587890625, 0.000000059604644775390625);
#endif

// The four codes of a word, each times 1 / PLACE_UNITS.
fn convert_in_place(word: u32) -> vec4<f32> {
#ifdef SIGNED
    return vec4<f32>(
        f32(bitcast<i32>(word * 0x1000000u)),
        f32(bitcast<i32>((word * 0x10000u) & 0xff000000u)),
        f32(bitcast<i32>((word * 0x100u) & 0xff000000u)),
        f32(bitcast<i32>(word & 0xff000000u)),
    );
#else
    // Codes are below 128, so that the highest one does not set the sign.
    return vec4<f32>(
        f32(bitcast<i32>(word & 0xffu)), f32(bitcast<i32>(word & 0xff00u)),
        f32(bitcast<i32>(word & 0xff0000u)), f32(bitcast<i32>(word & 0xff000000u)),
    );
#endif
}

fn scaled_x(v: Group) -> Group {
    return Group(
        v.v0 * PLACE_UNITS, v.v1 * PLACE_UNITS, v.v2 * PLACE_UNITS, v.v3 * PLACE_UNITS,
        v.v4 * PLACE_UNITS, v.v5 * PLACE_UNITS, v.v6 * PLACE_UNITS, v.v7 * PLACE_UNITS,
    );
}

fn load_in_place(base: u32, g: u32) -> ScaledGroup {
    let w = unpack_codes(load_packed(base, g), g);
    let codes = Group(
        convert_in_place(w.codes.first.x), convert_in_place(w.codes.first.y),
        convert_in_place(w.codes.first.z), convert_in_place(w.codes.first.w),
        convert_in_place(w.codes.second.x), convert_in_place(w.codes.second.y),
        convert_in_place(w.codes.second.z), convert_in_place(w.codes.second.w),
    );
    return ScaledGroup(codes, w.scale, w.shift);
}

fn dot_vec4(w: vec4<f32>, x: vec4<f32>, sum: f32) -> f32 {
    let a = fma(w.x, x.x, sum);
    let b = fma(w.y, x.y, a);
    let c = fma(w.z, x.z, b);
    return fma(w.w, x.w, c);
}

// The dot product of a group of weights and a group of scaled x with the half_sums of x.
fn dot_in_place(w: ScaledGroup, x: Group, sums: vec2<f32>) -> f32 {
    let low = dot_vec4(
        w.codes.v3, x.v3, dot_vec4(
            w.codes.v2, x.v2, dot_vec4(w.codes.v1, x.v1, dot_vec4(w.codes.v0, x.v0, 0.0))),
    );
    let high = dot_vec4(
        w.codes.v7, x.v7, dot_vec4(
            w.codes.v6, x.v6, dot_vec4(w.codes.v5, x.v5, dot_vec4(w.codes.v4, x.v4, 0.0))),
    );
    return dot(vec2<f32>(low, high), w.scale) + dot(sums, w.shift);
}
#else
fn scaled_x(v: Group) -> Group {
    return v;
}

fn load_in_place(base: u32, g: u32) -> ScaledGroup {
    return load_group(base, g);
}

fn dot_in_place(w: ScaledGroup, x: Group, sums: vec2<f32>) -> f32 {
    return dot_group(w, x, sums);
}
#endif
