// GEMM for CPUs: 64 tokens a workgroup.
//
// An invocation multiplies rows of two tiles, 8 apart. For each group it dequantises its rows once,
// and then loops over the tokens. That loop takes all the time, and it is short: a core decodes
// longer loops anew in every turn, which halves their speed.
//
// With subgroup broadcasts an invocation has eight rows. Without them x costs the most, so that it
// has sixteen.

const TOKENS_PER_WORKGROUP = 64u;

// For each token the sums of an invocation's rows, in vectors of four rows of a tile. Each
// invocation uses only its own sums, so that no barriers are needed.
#ifdef SUBGROUP_BROADCAST
const INVOCATIONS = 8u;
const VEC4S_PER_TOKEN = 2u;
var<workgroup> sums: array<vec4<f32>, TOKENS_PER_WORKGROUP * VEC4S_PER_TOKEN * INVOCATIONS>;

fn sum_index(token: u32, vec4_index: u32, local_index: u32) -> u32 {
    return (token * VEC4S_PER_TOKEN + vec4_index) * INVOCATIONS + local_index;
}
#else
// Private memory, because browsers zero workgroup memory, in code that CPU drivers compile slowly.
const INVOCATIONS = 4u;
const VEC4S_PER_TOKEN = 4u;
var<private> sums: array<vec4<f32>, TOKENS_PER_WORKGROUP * VEC4S_PER_TOKEN>;

fn sum_index(token: u32, vec4_index: u32, local_index: u32) -> u32 {
    return token * VEC4S_PER_TOKEN + vec4_index;
}
#endif

// The same group of four rows.
struct FourRows { row0: Group, row1: Group, row2: Group, row3: Group }

fn load_four_rows(bases: vec4<u32>, g: u32) -> FourRows {
    return FourRows(
        dequantize(load_group(bases.x, g)), dequantize(load_group(bases.y, g)),
        dequantize(load_group(bases.z, g)), dequantize(load_group(bases.w, g)),
    );
}

#ifdef SUBGROUP_BROADCAST
fn dot_four_rows(x: Group, w: FourRows) -> vec4<f32> {
    return x.v0 * mat4x4(w.row0.v0, w.row1.v0, w.row2.v0, w.row3.v0)
        + x.v1 * mat4x4(w.row0.v1, w.row1.v1, w.row2.v1, w.row3.v1)
        + x.v2 * mat4x4(w.row0.v2, w.row1.v2, w.row2.v2, w.row3.v2)
        + x.v3 * mat4x4(w.row0.v3, w.row1.v3, w.row2.v3, w.row3.v3)
        + x.v4 * mat4x4(w.row0.v4, w.row1.v4, w.row2.v4, w.row3.v4)
        + x.v5 * mat4x4(w.row0.v5, w.row1.v5, w.row2.v5, w.row3.v5)
        + x.v6 * mat4x4(w.row0.v6, w.row1.v6, w.row2.v6, w.row3.v6)
        + x.v7 * mat4x4(w.row0.v7, w.row1.v7, w.row2.v7, w.row3.v7);
}
#else
// One multiply-add after the other, for the reason that cpu_gemv.wgsl gives.
fn dot_vec4(w: vec4<f32>, x: vec4<f32>, sum: f32) -> f32 {
    let a = fma(w.x, x.x, sum);
    let b = fma(w.y, x.y, a);
    let c = fma(w.z, x.z, b);
    return fma(w.w, x.w, c);
}

fn dot_row(w: Group, x: Group) -> f32 {
    let low = dot_vec4(
        w.v3, x.v3, dot_vec4(w.v2, x.v2, dot_vec4(w.v1, x.v1, dot_vec4(w.v0, x.v0, 0.0))),
    );
    let high = dot_vec4(
        w.v7, x.v7, dot_vec4(w.v6, x.v6, dot_vec4(w.v5, x.v5, dot_vec4(w.v4, x.v4, 0.0))),
    );
    return low + high;
}

fn dot_four_rows(x: Group, w: FourRows) -> vec4<f32> {
    return vec4<f32>(
        dot_row(w.row0, x), dot_row(w.row1, x), dot_row(w.row2, x), dot_row(w.row3, x),
    );
}
#endif

@compute @workgroup_size(INVOCATIONS)
fn matmul(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
#ifdef SUBGROUP_BROADCAST
    @builtin(subgroup_invocation_id) lane: u32,
#endif
) {
    let all_tokens = token_count();
    let first_token = workgroup.z * TOKENS_PER_WORKGROUP;
    if first_token >= all_tokens {
        return;
    }
    let tokens = min(all_tokens - first_token, TOKENS_PER_WORKGROUP);
    let tile_pair = workgroup_index(workgroup);
    let bases0 = tile_row_bases(2u * tile_pair, local_index);
    let bases1 = tile_row_bases(2u * tile_pair + 1u, local_index);
#ifdef SUBGROUP_BROADCAST
#else
    let bases2 = tile_row_bases(2u * tile_pair, local_index + INVOCATIONS);
    let bases3 = tile_row_bases(2u * tile_pair + 1u, local_index + INVOCATIONS);
#endif
    let groups = group_count();
    let x_first = (p.x_first + first_token) * groups;
    for (var t = 0u; t < tokens; t++) {
        for (var i = 0u; i < VEC4S_PER_TOKEN; i++) {
            sums[sum_index(t, i, local_index)] = vec4<f32>();
        }
    }
    for (var g = 0u; g < groups; g++) {
        let w0 = load_four_rows(bases0, g);
        let w1 = load_four_rows(bases1, g);
#ifdef SUBGROUP_BROADCAST
#else
        let w2 = load_four_rows(bases2, g);
        let w3 = load_four_rows(bases3, g);
#endif
        for (var t = 0u; t < tokens; t++) {
            let at = (x_first + t * groups + g) * 8u;
#ifdef SUBGROUP_BROADCAST
            let x = broadcast_group(x_vec4(at + lane % 8u));
#else
            let x = load_x(at);
            sums[sum_index(t, 2u, local_index)] += dot_four_rows(x, w2);
            sums[sum_index(t, 3u, local_index)] += dot_four_rows(x, w3);
#endif
            sums[sum_index(t, 0u, local_index)] += dot_four_rows(x, w0);
            sums[sum_index(t, 1u, local_index)] += dot_four_rows(x, w1);
        }
    }
    for (var t = 0u; t < tokens; t++) {
        for (var i = 0u; i < VEC4S_PER_TOKEN; i += 2u) {
            let a = sums[sum_index(t, i, local_index)];
            let b = sums[sum_index(t, i + 1u, local_index)];
            for (var j = 0u; j < 4u; j++) {
                store_pair(
                    first_token + t, all_tokens, tile_pair, local_index + 2u * i + 8u * j,
                    a[j], b[j],
                );
            }
        }
    }
}
