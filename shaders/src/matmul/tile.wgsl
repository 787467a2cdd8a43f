// Many tokens, for GPUs: 64 rows of 64 tokens a workgroup, group by group through workgroup memory; 4 x 4 an invocation.
const QUADS = 8u; // vectors of four in a group

// [quad, row or token]: what neighbouring invocations read lies side by side.
var<workgroup> w_tile: array<vec4<f32>, QUADS * 64u>;
var<workgroup> x_tile: array<vec4<f32>, QUADS * 64u>;

fn put_weights(row: u32, w: Group) {
    w_tile[row] = w.a;
    w_tile[64u + row] = w.b;
    w_tile[128u + row] = w.c;
    w_tile[192u + row] = w.d;
    w_tile[256u + row] = w.e;
    w_tile[320u + row] = w.f;
    w_tile[384u + row] = w.g;
    w_tile[448u + row] = w.h;
}

fn dot_rows(w: vec4<f32>, x0: vec4<f32>, x1: vec4<f32>, x2: vec4<f32>, x3: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(dot(w, x0), dot(w, x1), dot(w, x2), dot(w, x3));
}

fn put_tokens(token: u32, tokens: u32, pair: u32, lane: u32, a: vec4<f32>, b: vec4<f32>) {
    put_pair(token, tokens, pair, lane, a.x, b.x);
    put_pair(token + 16u, tokens, pair, lane, a.y, b.y);
    put_pair(token + 32u, tokens, pair, lane, a.z, b.z);
    put_pair(token + 48u, tokens, pair, lane, a.w, b.w);
}

@compute @workgroup_size(256)
fn matmul(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let tokens = token_count();
    let token = group.z * 64u;
    if token >= tokens {
        return;
    }
    let pair = unit_of(group);
    let base = base_of(2u * pair + lane / 32u % 2u, lane % 32u);
    let column = lane % 16u; // rows column + 16 i
    let line = lane / 16u;   // tokens line + 16 j
    var a0 = vec4<f32>();
    var a1 = vec4<f32>();
    var a2 = vec4<f32>();
    var a3 = vec4<f32>();
    let groups = row_groups();
    for (var g = 0u; g < groups; g++) {
        workgroupBarrier();
        if lane < 64u {
            put_weights(lane, weights_of(load_stored(base, g)));
        } else {
            for (var i = lane - 64u; i < QUADS * 64u; i += 192u) {
                let from_ = min(token + i / QUADS, tokens - 1u);
                x_tile[i % QUADS * 64u + i / QUADS] = x[((p.x_first + from_) * p.groups + g) * QUADS + i % QUADS];
            }
        }
        workgroupBarrier();
        for (var k = 0u; k < QUADS; k++) {
            let x0 = x_tile[k * 64u + line];
            let x1 = x_tile[k * 64u + line + 16u];
            let x2 = x_tile[k * 64u + line + 32u];
            let x3 = x_tile[k * 64u + line + 48u];
            a0 += dot_rows(w_tile[k * 64u + column], x0, x1, x2, x3);
            a1 += dot_rows(w_tile[k * 64u + column + 16u], x0, x1, x2, x3);
            a2 += dot_rows(w_tile[k * 64u + column + 32u], x0, x1, x2, x3);
            a3 += dot_rows(w_tile[k * 64u + column + 48u], x0, x1, x2, x3);
        }
    }
    put_tokens(token + line, tokens, pair, column, a0, a2);
    put_tokens(token + line, tokens, pair, column + 16u, a1, a3);
}
