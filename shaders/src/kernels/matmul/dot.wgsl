// Dot products and norms of groups, for the variants that compute in f32.

// The sums of the two halves of a group of x. The weights' shifts multiply them.
fn half_sums(v: Group) -> vec2<f32> {
    return vec2<f32>(
        horizontal_sum((v.v0 + v.v1) + (v.v2 + v.v3)),
        horizontal_sum((v.v4 + v.v5) + (v.v6 + v.v7)),
    );
}

// The dot product of a group of weights and a group of x with its half_sums.
fn dot_group(w: ScaledGroup, v: Group, sums: vec2<f32>) -> f32 {
    let low = fma(
        w.codes.v3, v.v3, fma(w.codes.v2, v.v2, fma(w.codes.v1, v.v1, w.codes.v0 * v.v0)),
    );
    let high = fma(
        w.codes.v7, v.v7, fma(w.codes.v6, v.v6, fma(w.codes.v5, v.v5, w.codes.v4 * v.v4)),
    );
    let codes = vec2<f32>(horizontal_sum(low), horizontal_sum(high));
    return dot(codes, w.scale) + dot(sums, w.shift);
}

fn sum_of_squares(v: Group) -> f32 {
    let low = fma(v.v3, v.v3, fma(v.v2, v.v2, fma(v.v1, v.v1, v.v0 * v.v0)));
    return horizontal_sum(
        low + fma(v.v7, v.v7, fma(v.v6, v.v6, fma(v.v5, v.v5, v.v4 * v.v4))),
    );
}

// A group of x times the norm's weights, of which `at` is the first vector.
fn times_norm(v: Group, at: u32) -> Group {
    return Group(
        v.v0 * norm_vec4(at), v.v1 * norm_vec4(at + 1u),
        v.v2 * norm_vec4(at + 2u), v.v3 * norm_vec4(at + 3u),
        v.v4 * norm_vec4(at + 4u), v.v5 * norm_vec4(at + 5u),
        v.v6 * norm_vec4(at + 6u), v.v7 * norm_vec4(at + 7u),
    );
}
