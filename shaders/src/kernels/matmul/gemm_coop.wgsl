// Many tokens, for GPUs with matrix units: 128 rows of 128 tokens a workgroup of eight subgroups,
// two groups of weights at a time. Weights and x become halves in workgroup memory; products are
// exact, sums in f32. A subgroup has 64 rows of 32 tokens.
//
// Halves of x beyond 65504 would be infinite: they are cut there. Tokens beyond the last are not
// stored; x must have rows up to the next multiple of 16.

// Sixteen rows of a group's 32 halves. A row takes ten vectors, eight of them used: 80 bytes from
// row to row keep neighbours out of each other's banks. Arrays of arrays, so that all but one index
// is a constant.
const PITCH = 10u;
alias Rows = array<array<vec4<f16>, PITCH>, 16>;
// [group, pair of tiles, tile, half of its rows] and [group, 32 tokens, half of them].
var<workgroup> w_tile: array<array<array<array<Rows, 2>, 2>, 2>, 2>;
var<workgroup> x_tile: array<array<array<Rows, 2>, 4>, 2>;
// A subgroup's results on their way out.
var<workgroup> results: array<f32, 8u * 256u>;

alias Left = coop_mat16x16<f16, A>;
alias Right = coop_mat16x16<f16, B>;
alias Sums = coop_mat16x16<f32, C>;

fn halves(v: vec4<f32>) -> vec4<f16> {
    return clamp(four(v), vec4<f16>(-65504.0h), vec4<f16>(65504.0h));
}

// Four results of a subgroup's 16 x 16: those of token `i / 4` of the 16, rows `4 (i % 4)` on.
fn result4(subgroup: u32, i: u32) -> vec4<f32> {
    let at = subgroup * 256u + i * 4u;
    return vec4<f32>(results[at], results[at + 1u], results[at + 2u], results[at + 3u]);
}

// A group's weights; zeros beyond the last.
fn group_of(packed: Packed, g: u32, groups: u32) -> Group {
    var s = unpack(packed, g);
    let there = vec2<f32>(select(0.0, 1.0, g < groups));
    s.scale *= there;
    s.shift *= there;
    return weights_of(s);
}

// Quads of eight tokens, 16 apart.
struct Tokens {
    a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>,
    e: vec4<f32>, f: vec4<f32>, g: vec4<f32>, h: vec4<f32>,
}

// `last` is the first of the last 16 tokens, from the workgroup's first on: what is beyond them is
// never read.
fn load_tokens(at: u32, last: u32) -> Tokens {
    let stride = p.groups * 8u;
    return Tokens(
        x[at], x[at + min(16u, last) * stride], x[at + min(32u, last) * stride], x[at + min(48u, last) * stride],
        x[at + min(64u, last) * stride], x[at + min(80u, last) * stride],
        x[at + min(96u, last) * stride], x[at + min(112u, last) * stride],
    );
}

@compute @workgroup_size(256)
fn matmul(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let tokens = token_count();
    let token0 = group.z * 128u;
    if token0 >= tokens {
        return;
    }
    let unit = unit_of(group);
    let groups = row_groups();
    let last = groups - 1u;
    // An invocation brings a row's group, and a quad of every 16th token's: eight of them read a
    // token's group, so that what they load lies together.
    let row = lane % 128u;
    let row_group = lane / 128u;
    let base = base_of(4u * unit + row / 32u, row % 32u);
    let quad = lane % 8u;
    let x_group = lane / 8u % 2u;
    let line = lane / 16u;
    let x_last = last_row_group(tokens - token0, 16u);
    let x_base = (p.x_first + token0 + line) * p.groups * 8u + quad;
    // What its subgroup computes.
    let subgroup = lane / 32u;
    let own_rows = subgroup % 2u;
    let own_tokens = subgroup / 2u;
    var c00 = Sums();
    var c01 = Sums();
    var c02 = Sums();
    var c03 = Sums();
    var c10 = Sums();
    var c11 = Sums();
    var c12 = Sums();
    var c13 = Sums();
    // The next groups are on their way while the matrix units work, and taken apart after them.
    var packed = load_packed(base, min(row_group, last));
    var v = load_tokens(x_base + min(x_group, last) * 8u, x_last);
    for (var g = 0u; g < groups; g += 2u) {
        workgroupBarrier();
        let w = group_of(packed, g + row_group, groups);
        w_tile[row_group][row / 64u][row / 32u % 2u][row / 16u % 2u][row % 16u][0] = w.a;
        w_tile[row_group][row / 64u][row / 32u % 2u][row / 16u % 2u][row % 16u][1] = w.b;
        w_tile[row_group][row / 64u][row / 32u % 2u][row / 16u % 2u][row % 16u][2] = w.c;
        w_tile[row_group][row / 64u][row / 32u % 2u][row / 16u % 2u][row % 16u][3] = w.d;
        w_tile[row_group][row / 64u][row / 32u % 2u][row / 16u % 2u][row % 16u][4] = w.e;
        w_tile[row_group][row / 64u][row / 32u % 2u][row / 16u % 2u][row % 16u][5] = w.f;
        w_tile[row_group][row / 64u][row / 32u % 2u][row / 16u % 2u][row % 16u][6] = w.g;
        w_tile[row_group][row / 64u][row / 32u % 2u][row / 16u % 2u][row % 16u][7] = w.h;
        x_tile[x_group][0][0][line][quad] = halves(v.a);
        x_tile[x_group][0][1][line][quad] = halves(v.b);
        x_tile[x_group][1][0][line][quad] = halves(v.c);
        x_tile[x_group][1][1][line][quad] = halves(v.d);
        x_tile[x_group][2][0][line][quad] = halves(v.e);
        x_tile[x_group][2][1][line][quad] = halves(v.f);
        x_tile[x_group][3][0][line][quad] = halves(v.g);
        x_tile[x_group][3][1][line][quad] = halves(v.h);
        workgroupBarrier();
        packed = load_packed(base, min(g + 2u + row_group, last));
        v = load_tokens(x_base + min(g + 2u + x_group, last) * 8u, x_last);
        for (var i = 0u; i < 4u; i++) {
            // 16 columns: the first or the last of a group.
            let at = i % 2u * 4u;
            let a0 = coopLoadT<Left>(&x_tile[i / 2u][own_tokens][0][0][at], PITCH);
            let a1 = coopLoadT<Left>(&x_tile[i / 2u][own_tokens][1][0][at], PITCH);
            let b0 = coopLoad<Right>(&w_tile[i / 2u][own_rows][0][0][0][at], PITCH);
            c00 = coopMultiplyAdd(a0, b0, c00);
            c10 = coopMultiplyAdd(a1, b0, c10);
            let b1 = coopLoad<Right>(&w_tile[i / 2u][own_rows][0][1][0][at], PITCH);
            c01 = coopMultiplyAdd(a0, b1, c01);
            c11 = coopMultiplyAdd(a1, b1, c11);
            let b2 = coopLoad<Right>(&w_tile[i / 2u][own_rows][1][0][0][at], PITCH);
            c02 = coopMultiplyAdd(a0, b2, c02);
            c12 = coopMultiplyAdd(a1, b2, c12);
            let b3 = coopLoad<Right>(&w_tile[i / 2u][own_rows][1][1][0][at], PITCH);
            c03 = coopMultiplyAdd(a0, b3, c03);
            c13 = coopMultiplyAdd(a1, b3, c13);
        }
    }

    let pair = 2u * unit + own_rows;
    for (var quarter = 0u; quarter < 4u; quarter++) {
        // The same 16 tokens and 16 rows of both tiles of the pair.
        var first = c00;
        var second = c02;
        switch quarter {
            case 1u: { first = c01; second = c03; }
            case 2u: { first = c10; second = c12; }
            case 3u: { first = c11; second = c13; }
            default: {}
        }
        workgroupBarrier();
        coopStoreT(first, &results[subgroup * 256u], 16u);
        workgroupBarrier();
        let a0 = result4(subgroup, lane % 32u);
        let a1 = result4(subgroup, lane % 32u + 32u);
        workgroupBarrier();
        coopStoreT(second, &results[subgroup * 256u], 16u);
        workgroupBarrier();
        let b0 = result4(subgroup, lane % 32u);
        let b1 = result4(subgroup, lane % 32u + 32u);
        let to_token = token0 + own_tokens * 32u + quarter / 2u * 16u + lane % 32u / 4u;
        let to_lane = quarter % 2u * 16u + lane % 4u * 4u;
        for (var i = 0u; i < 4u; i++) {
            store_pair(to_token, tokens, pair, to_lane + i, a0[i], b0[i]);
            store_pair(to_token + 8u, tokens, pair, to_lane + i, a1[i], b1[i]);
        }
    }
}
