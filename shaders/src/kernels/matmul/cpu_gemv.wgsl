// One token, for CPUs: eight rows an invocation, four of each of two tiles, 8 apart; x is loaded
// once for all of them.
//
// What browsers have where there is no GPU, SwiftShader, keeps little in registers and shifts lane
// by lane. So codes become floats one after the other, where they lie in their word, and x is
// scaled instead.
#ifdef CODES
#ifdef SIGNED
// All in the highest byte, where their sign is.
const PLACES = vec4<f32>(0.000000059604644775390625);
#else
const PLACES = vec4<f32>(1.0, 0.00390625, 0.0000152587890625, 0.000000059604644775390625);
#endif

// Four codes times x, which is scaled by PLACES.
fn dot_word(word: u32, x: vec4<f32>, sum: f32) -> f32 {
#ifdef SIGNED
    let a = fma(f32(bitcast<i32>(word * 0x1000000u)), x.x, sum);
    let b = fma(f32(bitcast<i32>((word * 0x10000u) & 0xff000000u)), x.y, a);
    let c = fma(f32(bitcast<i32>((word * 0x100u) & 0xff000000u)), x.z, b);
#else
    // Below 128: the highest has no sign.
    let a = fma(f32(bitcast<i32>(word & 0xffu)), x.x, sum);
    let b = fma(f32(bitcast<i32>(word & 0xff00u)), x.y, a);
    let c = fma(f32(bitcast<i32>(word & 0xff0000u)), x.z, b);
#endif
    return fma(f32(bitcast<i32>(word & 0xff000000u)), x.w, c);
}

fn placed_x(v: Group) -> Group {
    return Group(
        v.a * PLACES, v.b * PLACES, v.c * PLACES, v.d * PLACES, v.e * PLACES, v.f * PLACES, v.g * PLACES, v.h * PLACES,
    );
}

fn dot_row(base: u32, g: u32, v: Group, sums: vec2<f32>) -> f32 {
    let w = unpack_codes(load_packed(base, g), g);
    let low = dot_word(w.q.a.w, v.d, dot_word(w.q.a.z, v.c, dot_word(w.q.a.y, v.b, dot_word(w.q.a.x, v.a, 0.0))));
    let high = dot_word(w.q.b.w, v.h, dot_word(w.q.b.z, v.g, dot_word(w.q.b.y, v.f, dot_word(w.q.b.x, v.e, 0.0))));
    return dot(vec2<f32>(low, high), w.scale) + dot(sums, w.shift);
}
#else
fn placed_x(v: Group) -> Group {
    return v;
}

fn dot_row(base: u32, g: u32, v: Group, sums: vec2<f32>) -> f32 {
    return dot_stored(load_stored(base, g), v, sums);
}
#endif

fn dot_rows(base: vec4<u32>, g: u32, v: Group, sums: vec2<f32>) -> vec4<f32> {
    return vec4<f32>(
        dot_row(base.x, g, v, sums), dot_row(base.y, g, v, sums), dot_row(base.z, g, v, sums), dot_row(base.w, g, v, sums),
    );
}

@compute @workgroup_size(8)
fn matmul(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) own: u32) {
    let pair = unit_of(group);
    let b0 = bases_of(2u * pair, own);
    let b1 = bases_of(2u * pair + 1u, own);
    let groups = row_groups();
    let at = p.x_first * groups * 8u;
    var a = vec4<f32>();
    var b = vec4<f32>();
    for (var g = 0u; g < groups; g++) {
        let v = load_x(at + g * 8u);
        let sums = sums_of(v);
        let x = placed_x(v);
        a += dot_rows(b0, g, x, sums);
        b += dot_rows(b1, g, x, sums);
    }
    let tokens = token_count();
    for (var i = 0u; i < 4u; i++) {
        store_pair(0u, tokens, pair, own + 8u * i, a[i], b[i]);
    }
}
