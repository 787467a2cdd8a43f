// GEMV for CPUs: one token.
//
// An invocation multiplies eight rows: four of each of two tiles, 8 apart. It loads x once for all.
//
// SwiftShader, the CPU driver of browsers, keeps little in registers and shifts lane by lane. So
// codes are converted one after the other at their place in the word, and x is scaled to match.
#ifdef CODES
#ifdef SIGNED
// Each code is moved to the highest byte, which has the sign.
const PLACE_UNITS = vec4<f32>(0.000000059604644775390625);
#else
const PLACE_UNITS = vec4<f32>(1.0, 0.00390625, 0.0000152587890625, 0.000000059604644775390625);
#endif

// Adds four codes times x, which is scaled by PLACE_UNITS.
fn dot_word(word: u32, x: vec4<f32>, sum: f32) -> f32 {
#ifdef SIGNED
    let a = fma(f32(bitcast<i32>(word * 0x1000000u)), x.x, sum);
    let b = fma(f32(bitcast<i32>((word * 0x10000u) & 0xff000000u)), x.y, a);
    let c = fma(f32(bitcast<i32>((word * 0x100u) & 0xff000000u)), x.z, b);
#else
    // Codes are below 128, so that the highest one does not set the sign.
    let a = fma(f32(bitcast<i32>(word & 0xffu)), x.x, sum);
    let b = fma(f32(bitcast<i32>(word & 0xff00u)), x.y, a);
    let c = fma(f32(bitcast<i32>(word & 0xff0000u)), x.z, b);
#endif
    return fma(f32(bitcast<i32>(word & 0xff000000u)), x.w, c);
}

fn scaled_x(v: Group) -> Group {
    return Group(
        v.v0 * PLACE_UNITS, v.v1 * PLACE_UNITS, v.v2 * PLACE_UNITS, v.v3 * PLACE_UNITS,
        v.v4 * PLACE_UNITS, v.v5 * PLACE_UNITS, v.v6 * PLACE_UNITS, v.v7 * PLACE_UNITS,
    );
}

fn dot_row(base: u32, g: u32, v: Group, sums: vec2<f32>) -> f32 {
    let w = unpack_codes(load_packed(base, g), g);
    let low = dot_word(
        w.codes.first.w, v.v3, dot_word(
            w.codes.first.z, v.v2, dot_word(
                w.codes.first.y, v.v1, dot_word(w.codes.first.x, v.v0, 0.0))),
    );
    let high = dot_word(
        w.codes.second.w, v.v7, dot_word(
            w.codes.second.z, v.v6, dot_word(
                w.codes.second.y, v.v5, dot_word(w.codes.second.x, v.v4, 0.0))),
    );
    return dot(vec2<f32>(low, high), w.scale) + dot(sums, w.shift);
}
#else
fn scaled_x(v: Group) -> Group {
    return v;
}

fn dot_row(base: u32, g: u32, v: Group, sums: vec2<f32>) -> f32 {
    return dot_group(load_group(base, g), v, sums);
}
#endif

fn dot_rows(bases: vec4<u32>, g: u32, v: Group, sums: vec2<f32>) -> vec4<f32> {
    return vec4<f32>(
        dot_row(bases.x, g, v, sums), dot_row(bases.y, g, v, sums),
        dot_row(bases.z, g, v, sums), dot_row(bases.w, g, v, sums),
    );
}

@compute @workgroup_size(8)
fn matmul(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
) {
    let tile_pair = workgroup_index(workgroup);
    let bases0 = tile_row_bases(2u * tile_pair, local_index);
    let bases1 = tile_row_bases(2u * tile_pair + 1u, local_index);
    let groups = group_count();
    let at = p.x_first * groups * 8u;
    var sum0 = vec4<f32>();
    var sum1 = vec4<f32>();
    for (var g = 0u; g < groups; g++) {
        let v = load_x(at + g * 8u);
        let sums = half_sums(v);
        let x = scaled_x(v);
        sum0 += dot_rows(bases0, g, x, sums);
        sum1 += dot_rows(bases1, g, x, sums);
    }
    let tokens = token_count();
    for (var i = 0u; i < 4u; i++) {
        store_pair(0u, tokens, tile_pair, local_index + 8u * i, sum0[i], sum1[i]);
    }
}
