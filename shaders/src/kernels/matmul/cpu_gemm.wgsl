// Many tokens, for CPUs: rows of two tiles an invocation, 8 apart. A group of theirs is dequantised
// once for all tokens of the workgroup, which then come one after the other: that loop is all that
// counts, and it is short. What a CPU has not decoded before it executes half as fast, and it keeps
// a few thousand instructions.
//
// Where lanes tell each other what they load, an invocation has eight rows. Where they can't, x is
// what costs, so it has sixteen.

const TOKENS = 64u; // of a workgroup

// For each token the sums of an invocation's rows, four of a tile at a time. None sees another's.
#ifdef SUBGROUP_BROADCAST
const LANES = 8u;
const FOURS = 2u;
var<workgroup> sums: array<vec4<f32>, TOKENS * FOURS * LANES>;

fn sums_at(token: u32, four: u32, own: u32) -> u32 {
    return (token * FOURS + four) * LANES + own;
}
#else
// Private, for browsers fill workgroup memory with zeros, which takes long to compile on CPUs.
const LANES = 4u;
const FOURS = 4u;
var<private> sums: array<vec4<f32>, TOKENS * FOURS>;

fn sums_at(token: u32, four: u32, own: u32) -> u32 {
    return token * FOURS + four;
}
#endif

// A group of four rows.
struct Rows {
    a: Group, b: Group, c: Group, d: Group,
}

fn load_rows(at: vec4<u32>, g: u32) -> Rows {
    return Rows(
        weights_of(load_stored(at.x, g)), weights_of(load_stored(at.y, g)),
        weights_of(load_stored(at.z, g)), weights_of(load_stored(at.w, g)),
    );
}

#ifdef SUBGROUP_BROADCAST
fn dot_rows(x: Group, w: Rows) -> vec4<f32> {
    return x.a * mat4x4(w.a.a, w.b.a, w.c.a, w.d.a) + x.b * mat4x4(w.a.b, w.b.b, w.c.b, w.d.b)
        + x.c * mat4x4(w.a.c, w.b.c, w.c.c, w.d.c) + x.d * mat4x4(w.a.d, w.b.d, w.c.d, w.d.d)
        + x.e * mat4x4(w.a.e, w.b.e, w.c.e, w.d.e) + x.f * mat4x4(w.a.f, w.b.f, w.c.f, w.d.f)
        + x.g * mat4x4(w.a.g, w.b.g, w.c.g, w.d.g) + x.h * mat4x4(w.a.h, w.b.h, w.c.h, w.d.h);
}
#else
// One product after the other: see `rows`.
fn dot_quad(w: vec4<f32>, x: vec4<f32>, sum: f32) -> f32 {
    let a = fma(w.x, x.x, sum);
    let b = fma(w.y, x.y, a);
    let c = fma(w.z, x.z, b);
    return fma(w.w, x.w, c);
}

fn dot_group(w: Group, x: Group) -> f32 {
    let low = dot_quad(w.d, x.d, dot_quad(w.c, x.c, dot_quad(w.b, x.b, dot_quad(w.a, x.a, 0.0))));
    let high = dot_quad(w.h, x.h, dot_quad(w.g, x.g, dot_quad(w.f, x.f, dot_quad(w.e, x.e, 0.0))));
    return low + high;
}

fn dot_rows(x: Group, w: Rows) -> vec4<f32> {
    return vec4<f32>(dot_group(w.a, x), dot_group(w.b, x), dot_group(w.c, x), dot_group(w.d, x));
}
#endif

@compute @workgroup_size(LANES)
fn matmul(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) own: u32,
#ifdef SUBGROUP_BROADCAST
    @builtin(subgroup_invocation_id) lane: u32,
#endif
) {
    let all = token_count();
    let first = group.z * TOKENS;
    if first >= all {
        return;
    }
    let tokens = min(all - first, TOKENS);
    let pair = unit_of(group);
    let b0 = bases_of(2u * pair, own);
    let b1 = bases_of(2u * pair + 1u, own);
#ifdef SUBGROUP_BROADCAST
#else
    let b2 = bases_of(2u * pair, own + LANES);
    let b3 = bases_of(2u * pair + 1u, own + LANES);
#endif
    let groups = row_groups();
    let x_first = (p.x_first + first) * groups;
    for (var t = 0u; t < tokens; t++) {
        for (var four = 0u; four < FOURS; four++) {
            sums[sums_at(t, four, own)] = vec4<f32>();
        }
    }
    for (var g = 0u; g < groups; g++) {
        let w0 = load_rows(b0, g);
        let w1 = load_rows(b1, g);
#ifdef SUBGROUP_BROADCAST
#else
        let w2 = load_rows(b2, g);
        let w3 = load_rows(b3, g);
#endif
        for (var t = 0u; t < tokens; t++) {
            let at = (x_first + t * groups + g) * 8u;
#ifdef SUBGROUP_BROADCAST
            let x = spread_x(x_quad(at + lane % 8u));
#else
            let x = load_x(at);
            sums[sums_at(t, 2u, own)] += dot_rows(x, w2);
            sums[sums_at(t, 3u, own)] += dot_rows(x, w3);
#endif
            sums[sums_at(t, 0u, own)] += dot_rows(x, w0);
            sums[sums_at(t, 1u, own)] += dot_rows(x, w1);
        }
    }
    for (var t = 0u; t < tokens; t++) {
        for (var four = 0u; four < FOURS; four += 2u) {
            let a = sums[sums_at(t, four, own)];
            let b = sums[sums_at(t, four + 1u, own)];
            for (var i = 0u; i < 4u; i++) {
                store_pair(first + t, all, pair, own + 2u * four + 8u * i, a[i], b[i]);
            }
        }
    }
}
