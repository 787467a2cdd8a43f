// Many tokens, for CPUs with subgroups of 8 and more: rows 8 apart, eight of two tiles, and eight tokens an invocation. As in
// rows_spread the lanes load x's quads, one each, and tell the others.

// A group of four tokens' inputs: a column holds the four tokens' input of a weight.
struct Inputs {
    a: mat4x4<f32>, b: mat4x4<f32>, c: mat4x4<f32>, d: mat4x4<f32>,
    e: mat4x4<f32>, f: mat4x4<f32>, g: mat4x4<f32>, h: mat4x4<f32>,
    s: vec4<f32>, t: vec4<f32>, // sums of its halves
}

fn total(m: mat4x4<f32>) -> vec4<f32> {
    return (m[0] + m[1]) + (m[2] + m[3]);
}

fn spread_x(at: vec4<u32>) -> Inputs {
    let i = x[at.x];
    let j = x[at.y];
    let k = x[at.z];
    let l = x[at.w];
    let a = transpose(mat4x4(subgroupBroadcast(i, 0u), subgroupBroadcast(j, 0u), subgroupBroadcast(k, 0u), subgroupBroadcast(l, 0u)));
    let b = transpose(mat4x4(subgroupBroadcast(i, 1u), subgroupBroadcast(j, 1u), subgroupBroadcast(k, 1u), subgroupBroadcast(l, 1u)));
    let c = transpose(mat4x4(subgroupBroadcast(i, 2u), subgroupBroadcast(j, 2u), subgroupBroadcast(k, 2u), subgroupBroadcast(l, 2u)));
    let d = transpose(mat4x4(subgroupBroadcast(i, 3u), subgroupBroadcast(j, 3u), subgroupBroadcast(k, 3u), subgroupBroadcast(l, 3u)));
    let e = transpose(mat4x4(subgroupBroadcast(i, 4u), subgroupBroadcast(j, 4u), subgroupBroadcast(k, 4u), subgroupBroadcast(l, 4u)));
    let f = transpose(mat4x4(subgroupBroadcast(i, 5u), subgroupBroadcast(j, 5u), subgroupBroadcast(k, 5u), subgroupBroadcast(l, 5u)));
    let g = transpose(mat4x4(subgroupBroadcast(i, 6u), subgroupBroadcast(j, 6u), subgroupBroadcast(k, 6u), subgroupBroadcast(l, 6u)));
    let h = transpose(mat4x4(subgroupBroadcast(i, 7u), subgroupBroadcast(j, 7u), subgroupBroadcast(k, 7u), subgroupBroadcast(l, 7u)));
    let s = (total(a) + total(b)) + (total(c) + total(d));
    let t = (total(e) + total(f)) + (total(g) + total(h));
    return Inputs(a, b, c, d, e, f, g, h, s, t);
}

// sum + what four weights make of four tokens' inputs, one weight after the other: no more than four sums are alive.
fn add_quad(sum: vec4<f32>, q: vec4<f32>, m: mat4x4<f32>) -> vec4<f32> {
    let two = fma(vec4<f32>(q.y), m[1], fma(vec4<f32>(q.x), m[0], sum));
    return fma(vec4<f32>(q.w), m[3], fma(vec4<f32>(q.z), m[2], two));
}

fn dot_tokens(w: Stored, v: Inputs) -> vec4<f32> {
    let low = add_quad(add_quad(add_quad(add_quad(vec4<f32>(), w.q.a, v.a), w.q.b, v.b), w.q.c, v.c), w.q.d, v.d);
    let high = add_quad(add_quad(add_quad(add_quad(vec4<f32>(), w.q.e, v.e), w.q.f, v.f), w.q.g, v.g), w.q.h, v.h);
    return (low * w.scale.x + high * w.scale.y) + (v.s * w.shift.x + v.t * w.shift.y);
}

// Sums of four tokens, for each of four rows.
struct Sums {
    a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>,
}

fn put_tokens(token: u32, tokens: u32, pair: u32, row: u32, a: vec4<f32>, b: vec4<f32>) {
    for (var i = 0u; i < 4u; i++) {
        put_pair(token + i, tokens, pair, row, a[i], b[i]);
    }
}

fn put_sums(token: u32, tokens: u32, pair: u32, row: u32, s: Sums, t: Sums) {
    put_tokens(token, tokens, pair, row, s.a, t.a);
    put_tokens(token, tokens, pair, row + 8u, s.b, t.b);
    put_tokens(token, tokens, pair, row + 16u, s.c, t.c);
    put_tokens(token, tokens, pair, row + 24u, s.d, t.d);
}

@compute @workgroup_size(8)
fn matmul(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) own: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let tokens = token_count();
    let token = group.z * 8u;
    if token >= tokens {
        return;
    }
    let pair = group.x + group.y * p.across;
    let b00 = base_of(2u * pair, own);
    let b01 = base_of(2u * pair, own + 8u);
    let b02 = base_of(2u * pair, own + 16u);
    let b03 = base_of(2u * pair, own + 24u);
    let b10 = base_of(2u * pair + 1u, own);
    let b11 = base_of(2u * pair + 1u, own + 8u);
    let b12 = base_of(2u * pair + 1u, own + 16u);
    let b13 = base_of(2u * pair + 1u, own + 24u);
    let groups = row_groups();
    let four = min(vec4<u32>(token) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(tokens - 1u));
    let more = min(vec4<u32>(token) + vec4<u32>(4u, 5u, 6u, 7u), vec4<u32>(tokens - 1u));
    let at0 = (p.x_first + four) * groups * 8u + lane % 8u;
    let at1 = (p.x_first + more) * groups * 8u + lane % 8u;
    // Of tiles 0 and 1, of the first and the last four tokens.
    var s00 = Sums();
    var s01 = Sums();
    var s10 = Sums();
    var s11 = Sums();
    for (var g = 0u; g < groups; g++) {
        let v0 = spread_x(at0 + g * 8u);
        let v1 = spread_x(at1 + g * 8u);
        let a0 = load_stored(b00, g);
        s00.a += dot_tokens(a0, v0);
        s01.a += dot_tokens(a0, v1);
        let b0 = load_stored(b01, g);
        s00.b += dot_tokens(b0, v0);
        s01.b += dot_tokens(b0, v1);
        let c0 = load_stored(b02, g);
        s00.c += dot_tokens(c0, v0);
        s01.c += dot_tokens(c0, v1);
        let d0 = load_stored(b03, g);
        s00.d += dot_tokens(d0, v0);
        s01.d += dot_tokens(d0, v1);
        let a1 = load_stored(b10, g);
        s10.a += dot_tokens(a1, v0);
        s11.a += dot_tokens(a1, v1);
        let b1 = load_stored(b11, g);
        s10.b += dot_tokens(b1, v0);
        s11.b += dot_tokens(b1, v1);
        let c1 = load_stored(b12, g);
        s10.c += dot_tokens(c1, v0);
        s11.c += dot_tokens(c1, v1);
        let d1 = load_stored(b13, g);
        s10.d += dot_tokens(d1, v0);
        s11.d += dot_tokens(d1, v1);
    }
    put_sums(token, tokens, pair, own, s00, s10);
    put_sums(token + 4u, tokens, pair, own, s01, s11);
}
