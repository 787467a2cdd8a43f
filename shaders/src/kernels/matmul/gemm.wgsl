// GEMM for GPUs: a workgroup multiplies 128 rows with 128 tokens (64 in f16), an invocation eight
// rows with eight tokens (four in f16). For fewer tokens an invocation has fewer rows.
//
// Weights and x go through workgroup memory, half a group of columns at a time (a group in f16):
// 16 loads from it for 256 multiply-adds. A weight multiplies a vector of tokens, so x is
// transposed on the way in.
//
// With f16 arithmetic, two multiply-adds are one instruction. Sums within a group are f16, sums of
// groups f32; so x and the sums within a group must stay within 65504. Eight tokens would need
// more than the 128 registers that an invocation has on some GPUs, hence four.
#ifdef F16
const VEC4S_PER_ROUND = 8u; // vectors of four columns in workgroup memory: a group
const TOKEN_VEC4S = 1u;     // vectors of four tokens of an invocation
alias Tokens = Float4;
alias TokenSums = vec4<f32>;
#else
const VEC4S_PER_ROUND = 4u; // half a group
const TOKEN_VEC4S = 2u;
struct Tokens { first: Float4, second: Float4 }
alias TokenSums = Tokens;
#endif

override TOKEN_TILE: u32 = 64u * TOKEN_VEC4S; // tokens of a workgroup
// Groups of 16 invocations that multiply different tokens with the same rows: 2, 4, 8 or 16.
override TOKEN_GROUPS: u32 = TOKEN_TILE / (4u * TOKEN_VEC4S);
// Whether an invocation has one row of a pair, and not both.
override HAS_ONE_ROW: bool = TOKEN_GROUPS < 8u;

// [vector of four columns, tile, pair of rows, row of the pair].
var<workgroup> w_tile: array<array<array<array<Float4, 2>, 16>, 4>, VEC4S_PER_ROUND>;
// [vector of four columns, column, vector of four tokens]. The last index is permuted by bank_slot.
var<workgroup> x_tile: array<array<array<Float4, 16u * TOKEN_VEC4S>, 4>, VEC4S_PER_ROUND>;

#import kernels/matmul/gemm_stage.wgsl
#import kernels/matmul/gemm_sums.wgsl

@compute @workgroup_size(256)
fn matmul(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
) {
    let tokens = token_count();
    let first_token = workgroup.z * TOKEN_TILE;
    if first_token >= tokens {
        return;
    }
    let tile_quad = workgroup_index(workgroup);
    // Half of the invocations stage a row of weights each. The others stage four columns of four
    // tokens of x each; neighbours stage neighbouring columns.
    let staged_row = local_index % 128u;
    let base = tile_row_base(4u * tile_quad + staged_row / 32u, staged_row % 32u);
    let column_vec4 = staged_row % VEC4S_PER_ROUND;
    let staged_token_vec4 = staged_row / VEC4S_PER_ROUND;
    let stride = p.groups_per_row * 8u;
    let x_base = (
        p.x_first + min(first_token + 4u * staged_token_vec4, last_row_group(tokens, 4u))
    ) * stride + column_vec4;
    let stages_tokens = staged_token_vec4 < TOKEN_TILE / 4u;
    // The invocation multiplies rows 2 `row_pair` and 2 `row_pair` + 1 of each of its tiles, or one
    // of them, with its vectors of tokens from `token_vec4` on. It has all four tiles or two.
    let row_pair = local_index % 16u;
    let token_vec4 = local_index / 16u % TOKEN_GROUPS * TOKEN_VEC4S;
    let part = local_index / (16u * TOKEN_GROUPS);
    let tile_of_part = select(2u * part, part / 2u * 2u, HAS_ONE_ROW);
    let tile = select(tile_of_part, 0u, TOKEN_GROUPS == 16u);
    let row_of_pair = select(0u, part % 2u, HAS_ONE_ROW);
    let computes = TOKEN_GROUPS > 2u || part < 4u;
    var s0 = TokenSums();
    var s1 = TokenSums();
    var s2 = TokenSums();
    var s3 = TokenSums();
    var s4 = TokenSums();
    var s5 = TokenSums();
    var s6 = TokenSums();
    var s7 = TokenSums();
    let groups = group_count();
    for (var g = 0u; g < groups; g++) {
        for (var first = 0u; first < 8u; first += VEC4S_PER_ROUND) {
            workgroupBarrier();
            if local_index < 128u {
                stage_weights(staged_row, load_group(base, g), first);
            } else if stages_tokens {
                stage_tokens(x_base + g * 8u + first, stride, column_vec4, staged_token_vec4);
            }
            workgroupBarrier();
            if computes {
                var r0 = round_start(s0);
                var r1 = round_start(s1);
                var r2 = round_start(s2);
                var r3 = round_start(s3);
                var r4 = round_start(s4);
                var r5 = round_start(s5);
                var r6 = round_start(s6);
                var r7 = round_start(s7);
                // The loop does not count from 0, because compilers would unroll it where its
                // variable indexes an array of the same length. Unrolled, it needs too many
                // registers.
                for (var i = first; i < first + VEC4S_PER_ROUND; i++) {
                    let k = i % VEC4S_PER_ROUND;
                    let slot = bank_slot(token_vec4, k);
                    let x0 = load_column(k, 0u, slot);
                    let x1 = load_column(k, 1u, slot);
                    let x2 = load_column(k, 2u, slot);
                    let x3 = load_column(k, 3u, slot);
                    let w0 = w_tile[k][tile][row_pair][row_of_pair];
                    r0 = add_columns(r0, w0, x0, x1, x2, x3);
                    if !HAS_ONE_ROW {
                        r1 = add_columns(r1, w_tile[k][tile][row_pair][1], x0, x1, x2, x3);
                    }
                    let w2 = w_tile[k][tile + 1u][row_pair][row_of_pair];
                    r2 = add_columns(r2, w2, x0, x1, x2, x3);
                    if !HAS_ONE_ROW {
                        r3 = add_columns(r3, w_tile[k][tile + 1u][row_pair][1], x0, x1, x2, x3);
                    }
                    if TOKEN_GROUPS == 16u {
                        r4 = add_columns(r4, w_tile[k][2][row_pair][0], x0, x1, x2, x3);
                        r5 = add_columns(r5, w_tile[k][2][row_pair][1], x0, x1, x2, x3);
                        r6 = add_columns(r6, w_tile[k][3][row_pair][0], x0, x1, x2, x3);
                        r7 = add_columns(r7, w_tile[k][3][row_pair][1], x0, x1, x2, x3);
                    }
                }
                s0 = round_end(s0, r0);
                s1 = round_end(s1, r1);
                s2 = round_end(s2, r2);
                s3 = round_end(s3, r3);
                s4 = round_end(s4, r4);
                s5 = round_end(s5, r5);
                s6 = round_end(s6, r6);
                s7 = round_end(s7, r7);
            }
        }
    }
    if !computes {
        return;
    }
    let token = first_token + 4u * token_vec4;
    let tile_pair = 2u * tile_quad + tile / 2u;
    store_tokens(token, tokens, tile_pair, 2u * row_pair + row_of_pair, s0, s2);
    if !HAS_ONE_ROW {
        store_tokens(token, tokens, tile_pair, 2u * row_pair + 1u, s1, s3);
    }
    if TOKEN_GROUPS == 16u {
        store_tokens(token, tokens, 2u * tile_quad + 1u, 2u * row_pair, s4, s6);
        store_tokens(token, tokens, 2u * tile_quad + 1u, 2u * row_pair + 1u, s5, s7);
    }
}
