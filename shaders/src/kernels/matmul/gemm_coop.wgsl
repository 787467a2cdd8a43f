// GEMM for GPUs with cooperative matrices: a workgroup of eight subgroups multiplies 128 rows with
// 128 tokens, a subgroup 64 rows with 32 tokens.
//
// Weights and x become f16 in workgroup memory, two groups of columns at a time. Products are
// exact, sums are f32. Elements of x beyond 65504 are clamped, because they would be infinite in
// f16. x must have rows up to the next multiple of 16 tokens; results of tokens beyond the last
// are not stored.

// Sixteen rows of a group of 32 f16. A row takes ten vectors, of which eight are used: 80 bytes
// from row to row keep neighbouring rows in different memory banks. Arrays of arrays, so that all
// indices but one are constants.
const PITCH = 10u;
alias SixteenRows = array<array<vec4<f16>, PITCH>, 16>;
// [group, pair of tiles, tile, half of its rows] and [group, 32 tokens, half of them].
var<workgroup> w_tile: array<array<array<array<SixteenRows, 2>, 2>, 2>, 2>;
var<workgroup> x_tile: array<array<array<SixteenRows, 2>, 4>, 2>;
// A matrix of results of each subgroup, on its way to the epilogue.
var<workgroup> results: array<f32, 8u * 256u>;

alias TokenMatrix = coop_mat16x16<f16, A>;
alias RowMatrix = coop_mat16x16<f16, B>;
alias SumMatrix = coop_mat16x16<f32, C>;

fn clamp_to_f16(v: vec4<f32>) -> vec4<f16> {
    return clamp(to_float4(v), vec4<f16>(-65504.0h), vec4<f16>(65504.0h));
}

// Four of a subgroup's 16 x 16 results: of token `i / 4`, rows `4 (i % 4)` on.
fn load_results(subgroup: u32, i: u32) -> vec4<f32> {
    let at = subgroup * 256u + i * 4u;
    return vec4<f32>(results[at], results[at + 1u], results[at + 2u], results[at + 3u]);
}

// The weights of group `g`, or zeros beyond the last group.
fn dequantize_within(packed: PackedGroup, g: u32, groups: u32) -> Group {
    var scaled = unpack(packed, g);
    let is_within = vec2<f32>(select(0.0, 1.0, g < groups));
    scaled.scale *= is_within;
    scaled.shift *= is_within;
    return dequantize(scaled);
}

// The same four columns of eight tokens, 16 tokens apart: field `t<i>` is token 16 i's.
struct EightTokens {
    t0: vec4<f32>, t1: vec4<f32>, t2: vec4<f32>, t3: vec4<f32>,
    t4: vec4<f32>, t5: vec4<f32>, t6: vec4<f32>, t7: vec4<f32>,
}

// `last` is the first of the last 16 tokens, counted from the workgroup's first. No row beyond
// these 16 is read.
fn load_tokens(at: u32, last: u32) -> EightTokens {
    let stride = p.groups_per_row * 8u;
    return EightTokens(
        x[at], x[at + min(16u, last) * stride],
        x[at + min(32u, last) * stride], x[at + min(48u, last) * stride],
        x[at + min(64u, last) * stride], x[at + min(80u, last) * stride],
        x[at + min(96u, last) * stride], x[at + min(112u, last) * stride],
    );
}

@compute @workgroup_size(256)
fn matmul(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
) {
    let tokens = token_count();
    let first_token = workgroup.z * 128u;
    if first_token >= tokens {
        return;
    }
    let tile_quad = workgroup_index(workgroup);
    let groups = group_count();
    let last_group = groups - 1u;
    // An invocation stages one group of a row of weights, and four columns of every 16th token of
    // x. Eight neighbours load a token's whole group, so that their loads lie together.
    let row = local_index % 128u;
    let w_group = local_index / 128u;
    let base = tile_row_base(4u * tile_quad + row / 32u, row % 32u);
    let column_vec4 = local_index % 8u;
    let x_group = local_index / 8u % 2u;
    let token_in_16 = local_index / 16u;
    let x_last = last_row_group(tokens - first_token, 16u);
    let x_base = (p.x_first + first_token + token_in_16) * p.groups_per_row * 8u + column_vec4;
    // The rows and tokens that the subgroup multiplies.
    let subgroup = local_index / 32u;
    let subgroup_rows = subgroup % 2u;
    let subgroup_tokens = subgroup / 2u;
    var c00 = SumMatrix();
    var c01 = SumMatrix();
    var c02 = SumMatrix();
    var c03 = SumMatrix();
    var c10 = SumMatrix();
    var c11 = SumMatrix();
    var c12 = SumMatrix();
    var c13 = SumMatrix();
    // The next groups are prefetched while the matrices are multiplied, and unpacked afterwards.
    var packed = load_packed(base, min(w_group, last_group));
    var v = load_tokens(x_base + min(x_group, last_group) * 8u, x_last);
    for (var g = 0u; g < groups; g += 2u) {
        workgroupBarrier();
        let w = dequantize_within(packed, g + w_group, groups);
        w_tile[w_group][row / 64u][row / 32u % 2u][row / 16u % 2u][row % 16u][0] = w.v0;
        w_tile[w_group][row / 64u][row / 32u % 2u][row / 16u % 2u][row % 16u][1] = w.v1;
        w_tile[w_group][row / 64u][row / 32u % 2u][row / 16u % 2u][row % 16u][2] = w.v2;
        w_tile[w_group][row / 64u][row / 32u % 2u][row / 16u % 2u][row % 16u][3] = w.v3;
        w_tile[w_group][row / 64u][row / 32u % 2u][row / 16u % 2u][row % 16u][4] = w.v4;
        w_tile[w_group][row / 64u][row / 32u % 2u][row / 16u % 2u][row % 16u][5] = w.v5;
        w_tile[w_group][row / 64u][row / 32u % 2u][row / 16u % 2u][row % 16u][6] = w.v6;
        w_tile[w_group][row / 64u][row / 32u % 2u][row / 16u % 2u][row % 16u][7] = w.v7;
        x_tile[x_group][0][0][token_in_16][column_vec4] = clamp_to_f16(v.t0);
        x_tile[x_group][0][1][token_in_16][column_vec4] = clamp_to_f16(v.t1);
        x_tile[x_group][1][0][token_in_16][column_vec4] = clamp_to_f16(v.t2);
        x_tile[x_group][1][1][token_in_16][column_vec4] = clamp_to_f16(v.t3);
        x_tile[x_group][2][0][token_in_16][column_vec4] = clamp_to_f16(v.t4);
        x_tile[x_group][2][1][token_in_16][column_vec4] = clamp_to_f16(v.t5);
        x_tile[x_group][3][0][token_in_16][column_vec4] = clamp_to_f16(v.t6);
        x_tile[x_group][3][1][token_in_16][column_vec4] = clamp_to_f16(v.t7);
        workgroupBarrier();
        packed = load_packed(base, min(g + 2u + w_group, last_group));
        v = load_tokens(x_base + min(g + 2u + x_group, last_group) * 8u, x_last);
        for (var i = 0u; i < 4u; i++) {
            // The first or the last 16 columns of a group.
            let at = i % 2u * 4u;
            let a0 = coopLoadT<TokenMatrix>(&x_tile[i / 2u][subgroup_tokens][0][0][at], PITCH);
            let a1 = coopLoadT<TokenMatrix>(&x_tile[i / 2u][subgroup_tokens][1][0][at], PITCH);
            let b0 = coopLoad<RowMatrix>(&w_tile[i / 2u][subgroup_rows][0][0][0][at], PITCH);
            c00 = coopMultiplyAdd(a0, b0, c00);
            c10 = coopMultiplyAdd(a1, b0, c10);
            let b1 = coopLoad<RowMatrix>(&w_tile[i / 2u][subgroup_rows][0][1][0][at], PITCH);
            c01 = coopMultiplyAdd(a0, b1, c01);
            c11 = coopMultiplyAdd(a1, b1, c11);
            let b2 = coopLoad<RowMatrix>(&w_tile[i / 2u][subgroup_rows][1][0][0][at], PITCH);
            c02 = coopMultiplyAdd(a0, b2, c02);
            c12 = coopMultiplyAdd(a1, b2, c12);
            let b3 = coopLoad<RowMatrix>(&w_tile[i / 2u][subgroup_rows][1][1][0][at], PITCH);
            c03 = coopMultiplyAdd(a0, b3, c03);
            c13 = coopMultiplyAdd(a1, b3, c13);
        }
    }

    let tile_pair = 2u * tile_quad + subgroup_rows;
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
        let a0 = load_results(subgroup, local_index % 32u);
        let a1 = load_results(subgroup, local_index % 32u + 32u);
        workgroupBarrier();
        coopStoreT(second, &results[subgroup * 256u], 16u);
        workgroupBarrier();
        let b0 = load_results(subgroup, local_index % 32u);
        let b1 = load_results(subgroup, local_index % 32u + 32u);
        let token = first_token + subgroup_tokens * 32u + quarter / 2u * 16u
            + local_index % 32u / 4u;
        let first_row = quarter % 2u * 16u + local_index % 4u * 4u;
        for (var i = 0u; i < 4u; i++) {
            store_pair(token, tokens, tile_pair, first_row + i, a0[i], b0[i]);
            store_pair(token + 8u, tokens, tile_pair, first_row + i, a1[i], b1[i]);
        }
    }
}
