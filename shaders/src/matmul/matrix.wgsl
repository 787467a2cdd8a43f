// Many tokens, for GPUs with matrix units: 128 rows of 128 tokens a workgroup of eight subgroups. Group by group, weights and x
// become halves in workgroup memory; products are exact, sums in f32. A subgroup has 32 tokens of a pair of tiles.
//
// Halves of x beyond 65504 would be infinite: they are cut there.

// Blocks of 16 columns, each of 128 rows of weights, then 128 of tokens. A row takes six vectors, four of them used: 48 bytes
// from row to row keep neighbours out of each other's banks.
const PITCH = 6u;
const BLOCK = 256u * PITCH;
var<workgroup> tiles: array<vec4<f16>, 2u * BLOCK>;
// A subgroup's results on their way out.
var<workgroup> results: array<f32, 8u * 256u>;

alias Left = coop_mat16x16<f16, A>;
alias Right = coop_mat16x16<f16, B>;
alias Sums = coop_mat16x16<f32, C>;

fn halves(v: vec4<f32>) -> vec4<f16> {
    return clamp(four(v), vec4<f16>(-65504.0h), vec4<f16>(65504.0h));
}

// Puts half a group of weights, scaled, into its row.
fn bring_weights(at: u32, a: Four, b: Four, c: Four, d: Four, scale: f32, shift: f32) {
    let s = vec4<f16>(f16(scale));
    let t = vec4<f16>(f16(shift));
    tiles[at] = fma(a, s, t);
    tiles[at + 1u] = fma(b, s, t);
    tiles[at + 2u] = fma(c, s, t);
    tiles[at + 3u] = fma(d, s, t);
}

// A vector of group g of a token's x.
fn load_token(token: u32, last: u32, g: u32, quad: u32) -> vec4<f32> {
    return x[((p.x_first + min(token, last)) * p.groups + g) * 8u + quad];
}

// Four results of a subgroup's 16 x 16: those of token `i / 4` of the 16, rows `4 (i % 4)` on.
fn result4(subgroup: u32, i: u32) -> vec4<f32> {
    let at = subgroup * 256u + i * 4u;
    return vec4<f32>(results[at], results[at + 1u], results[at + 2u], results[at + 3u]);
}

@compute @workgroup_size(256)
fn matmul(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let tokens = token_count();
    let token0 = group.z * 128u;
    if token0 >= tokens {
        return;
    }
    let unit = group.x + group.y * p.across;
    let base = base_of(4u * unit + lane / 32u % 4u, lane % 32u);
    // An invocation brings half of a row's group, and one vector of every 32nd token's: eight of them read a token's group, so
    // that what they load lies together.
    let high = lane >= 128u;
    let row = lane % 128u * PITCH;
    let quad = lane % 8u;
    let line = token0 + lane / 8u;
    let last = tokens - 1u;
    let to_ = (128u + lane / 8u) * PITCH + quad / 4u * BLOCK + quad % 4u;

    let subgroup = lane / 32u;
    let rows = subgroup / 4u * 64u;           // of the workgroup's rows of weights
    let own_tokens = subgroup % 4u * 32u;     // of its tokens
    let left = (128u + own_tokens) * PITCH;
    let right = rows * PITCH;
    var c00 = Sums();
    var c01 = Sums();
    var c02 = Sums();
    var c03 = Sums();
    var c10 = Sums();
    var c11 = Sums();
    var c12 = Sums();
    var c13 = Sums();
    // The next group is on its way while the matrix units work, and taken apart after them.
    var packed = load_packed(base, 0u);
    var x0 = load_token(line, last, 0u, quad);
    var x1 = load_token(line + 32u, last, 0u, quad);
    var x2 = load_token(line + 64u, last, 0u, quad);
    var x3 = load_token(line + 96u, last, 0u, quad);
    let groups = row_groups();
    for (var g = 0u; g < groups; g++) {
        workgroupBarrier();
        if high {
            let w = unpack(packed, g);
            bring_weights(row + BLOCK, w.q.e, w.q.f, w.q.g, w.q.h, w.scale.y, w.shift.y);
        } else {
            let w = unpack(packed, g);
            bring_weights(row, w.q.a, w.q.b, w.q.c, w.q.d, w.scale.x, w.shift.x);
        }
        tiles[to_] = halves(x0);
        tiles[to_ + 32u * PITCH] = halves(x1);
        tiles[to_ + 64u * PITCH] = halves(x2);
        tiles[to_ + 96u * PITCH] = halves(x3);
        workgroupBarrier();
        let next = min(g + 1u, p.groups - 1u);
        packed = load_packed(base, next);
        x0 = load_token(line, last, next, quad);
        x1 = load_token(line + 32u, last, next, quad);
        x2 = load_token(line + 64u, last, next, quad);
        x3 = load_token(line + 96u, last, next, quad);
        for (var block = 0u; block < 2u * BLOCK; block += BLOCK) {
            let a0 = coopLoadT<Left>(&tiles[left + block], PITCH);
            let a1 = coopLoadT<Left>(&tiles[left + block + 16u * PITCH], PITCH);
            let b0 = coopLoad<Right>(&tiles[right + block], PITCH);
            let b1 = coopLoad<Right>(&tiles[right + block + 16u * PITCH], PITCH);
            let b2 = coopLoad<Right>(&tiles[right + block + 32u * PITCH], PITCH);
            let b3 = coopLoad<Right>(&tiles[right + block + 48u * PITCH], PITCH);
            c00 = coopMultiplyAdd(a0, b0, c00);
            c01 = coopMultiplyAdd(a0, b1, c01);
            c02 = coopMultiplyAdd(a0, b2, c02);
            c03 = coopMultiplyAdd(a0, b3, c03);
            c10 = coopMultiplyAdd(a1, b0, c10);
            c11 = coopMultiplyAdd(a1, b1, c11);
            c12 = coopMultiplyAdd(a1, b2, c12);
            c13 = coopMultiplyAdd(a1, b3, c13);
        }
    }

    let pair = 2u * unit + subgroup / 4u;
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
        let to_token = token0 + own_tokens + quarter / 2u * 16u + lane % 32u / 4u;
        let to_lane = quarter % 2u * 16u + lane % 4u * 4u;
        for (var i = 0u; i < 4u; i++) {
            put_pair(to_token, tokens, pair, to_lane + i, a0[i], b0[i]);
            put_pair(to_token + 8u, tokens, pair, to_lane + i, a1[i], b1[i]);
        }
    }
}
