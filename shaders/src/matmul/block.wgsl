// Many tokens, for CPUs: eight rows an invocation, of two tiles, 8 apart. A group of theirs is dequantised once for all tokens of
// the workgroup, which then come one after the other: that loop is all that counts, and it is short. What a CPU has not decoded
// before it executes half as fast, and it keeps a few thousand instructions.

// Of a workgroup.
const TOKENS = 64u;

// For each token the sums of an invocation's rows: four of the one tile, four of the other. An invocation sees its own only.
var<workgroup> sums: array<vec4<f32>, TOKENS * 16u>;

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

fn dot_rows(x: Group, w: Rows) -> vec4<f32> {
    return x.a * mat4x4(w.a.a, w.b.a, w.c.a, w.d.a) + x.b * mat4x4(w.a.b, w.b.b, w.c.b, w.d.b)
        + x.c * mat4x4(w.a.c, w.b.c, w.c.c, w.d.c) + x.d * mat4x4(w.a.d, w.b.d, w.c.d, w.d.d)
        + x.e * mat4x4(w.a.e, w.b.e, w.c.e, w.d.e) + x.f * mat4x4(w.a.f, w.b.f, w.c.f, w.d.f)
        + x.g * mat4x4(w.a.g, w.b.g, w.c.g, w.d.g) + x.h * mat4x4(w.a.h, w.b.h, w.c.h, w.d.h);
}

@compute @workgroup_size(8)
fn matmul(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) own: u32,
#ifdef SPREAD
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
    let groups = row_groups();
    let x_first = (p.x_first + first) * groups;
    for (var t = 0u; t < tokens; t++) {
        sums[t * 16u + own] = vec4<f32>();
        sums[t * 16u + 8u + own] = vec4<f32>();
    }
    for (var g = 0u; g < groups; g++) {
        let w0 = load_rows(b0, g);
        let w1 = load_rows(b1, g);
        for (var t = 0u; t < tokens; t++) {
            let at = (x_first + t * groups + g) * 8u;
#ifdef SPREAD
            let x = spread_x(x_quad(at + lane % 8u));
#else
            let x = load_x(at);
#endif
            sums[t * 16u + own] += dot_rows(x, w0);
            sums[t * 16u + 8u + own] += dot_rows(x, w1);
        }
    }
    for (var t = 0u; t < tokens; t++) {
        let a = sums[t * 16u + own];
        let b = sums[t * 16u + 8u + own];
        for (var i = 0u; i < 4u; i++) {
            put_pair(first + t, all, pair, own + 8u * i, a[i], b[i]);
        }
    }
}
