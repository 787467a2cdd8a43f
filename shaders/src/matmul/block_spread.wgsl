// Many tokens, for CPUs with subgroups of 8 and more: rows 8 apart, eight of two tiles, and eight tokens an invocation. As in
// rows_spread the lanes load x's quads, one each, and tell the others.

// A group of four tokens' inputs: a column holds the four tokens' input of a weight.
struct Inputs {
    a: mat4x4<f32>, b: mat4x4<f32>, c: mat4x4<f32>, d: mat4x4<f32>,
    e: mat4x4<f32>, f: mat4x4<f32>, g: mat4x4<f32>, h: mat4x4<f32>,
    s: vec4<f32>, t: vec4<f32>, // sums of its halves
}

fn spread_x(at: vec4<u32>) -> Inputs {
    let i = x_quad(at.x);
    let j = x_quad(at.y);
    let k = x_quad(at.z);
    let l = x_quad(at.w);
    // Each lane's sums of its quads, then of its half of the group.
    let m = transpose(mat4x4(i, j, k, l));
    let one = (m[0] + m[1]) + (m[2] + m[3]);
    let two = one + subgroupShuffleXor(one, 1u);
    let four = two + subgroupShuffleXor(two, 2u);
    return Inputs(
        transpose(mat4x4(subgroupBroadcast(i, 0u), subgroupBroadcast(j, 0u), subgroupBroadcast(k, 0u), subgroupBroadcast(l, 0u))),
        transpose(mat4x4(subgroupBroadcast(i, 1u), subgroupBroadcast(j, 1u), subgroupBroadcast(k, 1u), subgroupBroadcast(l, 1u))),
        transpose(mat4x4(subgroupBroadcast(i, 2u), subgroupBroadcast(j, 2u), subgroupBroadcast(k, 2u), subgroupBroadcast(l, 2u))),
        transpose(mat4x4(subgroupBroadcast(i, 3u), subgroupBroadcast(j, 3u), subgroupBroadcast(k, 3u), subgroupBroadcast(l, 3u))),
        transpose(mat4x4(subgroupBroadcast(i, 4u), subgroupBroadcast(j, 4u), subgroupBroadcast(k, 4u), subgroupBroadcast(l, 4u))),
        transpose(mat4x4(subgroupBroadcast(i, 5u), subgroupBroadcast(j, 5u), subgroupBroadcast(k, 5u), subgroupBroadcast(l, 5u))),
        transpose(mat4x4(subgroupBroadcast(i, 6u), subgroupBroadcast(j, 6u), subgroupBroadcast(k, 6u), subgroupBroadcast(l, 6u))),
        transpose(mat4x4(subgroupBroadcast(i, 7u), subgroupBroadcast(j, 7u), subgroupBroadcast(k, 7u), subgroupBroadcast(l, 7u))),
        subgroupBroadcast(four, 0u), subgroupBroadcast(four, 4u),
    );
}

// Sums of eight tokens.
struct Eight {
    a: vec4<f32>, b: vec4<f32>,
}

// sum + what four weights make of eight tokens' inputs, one weight after the other: no more than eight sums are alive.
fn add_quad(sum: Eight, q: vec4<f32>, m: mat4x4<f32>, n: mat4x4<f32>) -> Eight {
    let x = vec4<f32>(q.x);
    let y = vec4<f32>(q.y);
    let z = vec4<f32>(q.z);
    let w = vec4<f32>(q.w);
    return Eight(
        fma(w, m[3], fma(z, m[2], fma(y, m[1], fma(x, m[0], sum.a)))),
        fma(w, n[3], fma(z, n[2], fma(y, n[1], fma(x, n[0], sum.b)))),
    );
}

fn add_tokens(sum: Eight, w: Stored, v: Inputs, u: Inputs) -> Eight {
    let low = add_quad(add_quad(add_quad(add_quad(Eight(), w.q.a, v.a, u.a), w.q.b, v.b, u.b), w.q.c, v.c, u.c), w.q.d, v.d, u.d);
#ifdef TWO_SCALES
    let begun = Eight();
#else
    let begun = low;
#endif
    let high = add_quad(add_quad(add_quad(add_quad(begun, w.q.e, v.e, u.e), w.q.f, v.f, u.f), w.q.g, v.g, u.g), w.q.h, v.h, u.h);
#ifdef TWO_SCALES
    return Eight(
        sum.a + ((low.a * w.scale.x + high.a * w.scale.y) + (v.s * w.shift.x + v.t * w.shift.y)),
        sum.b + ((low.b * w.scale.x + high.b * w.scale.y) + (u.s * w.shift.x + u.t * w.shift.y)),
    );
#else
    return Eight(
        sum.a + (high.a * w.scale.x + (v.s + v.t) * w.shift.x),
        sum.b + (high.b * w.scale.x + (u.s + u.t) * w.shift.x),
    );
#endif
}

// Zero, once these sums are known. LLVM moves all arithmetic behind the last load, where it spills most of it, unless the next
// row's address can't do without the sums of this one.
fn after(sum: Eight) -> u32 {
    let bits = bitcast<vec4<u32>>(sum.a) | bitcast<vec4<u32>>(sum.b);
    return (bits.x | bits.y | bits.z | bits.w) & p.zero;
}

// Sums of a lane's four rows of a tile.
struct Tile {
    a: Eight, b: Eight, c: Eight, d: Eight,
}

fn add_tile(sum: Tile, at: vec4<u32>, g: u32, v: Inputs, u: Inputs) -> Tile {
    let a = add_tokens(sum.a, load_stored(at.x, g), v, u);
    let b = add_tokens(sum.b, load_stored(at.y + after(a), g), v, u);
    let c = add_tokens(sum.c, load_stored(at.z + after(b), g), v, u);
    let d = add_tokens(sum.d, load_stored(at.w + after(c), g), v, u);
    return Tile(a, b, c, d);
}

fn put_tokens(token: u32, tokens: u32, pair: u32, row: u32, s: Eight, t: Eight) {
    for (var i = 0u; i < 4u; i++) {
        put_pair(token + i, tokens, pair, row, s.a[i], t.a[i]);
        put_pair(token + 4u + i, tokens, pair, row, s.b[i], t.b[i]);
    }
}

fn put_tiles(token: u32, tokens: u32, pair: u32, row: u32, s: Tile, t: Tile) {
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
    let tile = 2u * unit_of(group);
    let at0 = bases_of(tile, own);
    let at1 = bases_of(tile + 1u, own);
    let groups = row_groups();
    let four = min(vec4<u32>(token) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(tokens - 1u));
    let more = min(vec4<u32>(token) + vec4<u32>(4u, 5u, 6u, 7u), vec4<u32>(tokens - 1u));
    let x0 = (p.x_first + four) * groups * 8u + lane % 8u;
    let x1 = (p.x_first + more) * groups * 8u + lane % 8u;
    var t0 = Tile();
    var t1 = Tile();
    for (var g = 0u; g < groups; g++) {
        let v = spread_x(x0 + g * 8u);
        let u = spread_x(x1 + g * 8u);
        t0 = add_tile(t0, at0, g, v, u);
        t1 = add_tile(t1, at1 + after(t0.d), g, v, u);
    }
    put_tiles(token, tokens, tile / 2u, own, t0, t1);
}
