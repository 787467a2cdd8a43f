// Matmul of a few rows of x for CPUs: up to eight a workgroup.
//
// An invocation multiplies rows of two tiles, 8 apart. For each group it unpacks its weights once,
// and then loops over the rows of x. The arithmetic of each row of x is that of cpu_gemv in the
// same order: the results have the same bits. As in cpu_gemm an invocation has sixteen rows of W,
// because x costs the most.

const X_ROWS = 8u; // rows of x in a workgroup

const INVOCATIONS = 4u;
const VEC4S_PER_ROW = 4u;
// For each row of x the sums of an invocation's rows, in vectors of four rows of a tile. Private
// memory, because browsers zero workgroup memory, in code that CPU drivers compile slowly.
var<private> row_sums: array<vec4<f32>, X_ROWS * VEC4S_PER_ROW>;

fn sum_index(x_row: u32, vec4_index: u32) -> u32 {
    return x_row * VEC4S_PER_ROW + vec4_index;
}

#import kernels/matmul/codes_in_place.wgsl

// The same group of four rows, 8 apart.
struct FourRows { row0: ScaledGroup, row1: ScaledGroup, row2: ScaledGroup, row3: ScaledGroup }

fn load_four_rows(bases: vec4<u32>, g: u32) -> FourRows {
    return FourRows(
        load_in_place(bases.x, g), load_in_place(bases.y, g),
        load_in_place(bases.z, g), load_in_place(bases.w, g),
    );
}

fn dot_four_rows(w: FourRows, x: Group, sums: vec2<f32>) -> vec4<f32> {
    return vec4<f32>(
        dot_in_place(w.row0, x, sums), dot_in_place(w.row1, x, sums),
        dot_in_place(w.row2, x, sums), dot_in_place(w.row3, x, sums),
    );
}

@compute @workgroup_size(INVOCATIONS)
fn matmul(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
) {
    let all_tokens = token_count();
    let first_token = workgroup.z * X_ROWS;
    if first_token >= all_tokens {
        return;
    }
    let x_rows = min(all_tokens - first_token, X_ROWS);
    let tile_pair = workgroup_index(workgroup);
    let bases0 = tile_row_bases(2u * tile_pair, local_index);
    let bases1 = tile_row_bases(2u * tile_pair + 1u, local_index);
    let bases2 = tile_row_bases(2u * tile_pair, local_index + INVOCATIONS);
    let bases3 = tile_row_bases(2u * tile_pair + 1u, local_index + INVOCATIONS);
    let groups = group_count();
    let x_first = (p.x_first + first_token) * groups;
    for (var t = 0u; t < x_rows; t++) {
        for (var i = 0u; i < VEC4S_PER_ROW; i++) {
            row_sums[sum_index(t, i)] = vec4<f32>();
        }
    }
    for (var g = 0u; g < groups; g++) {
        let w0 = load_four_rows(bases0, g);
        let w1 = load_four_rows(bases1, g);
        let w2 = load_four_rows(bases2, g);
        let w3 = load_four_rows(bases3, g);
        for (var t = 0u; t < x_rows; t++) {
            let v = load_x((x_first + t * groups + g) * 8u);
            let sums = half_sums(v);
            let x = scaled_x(v);
            row_sums[sum_index(t, 2u)] += dot_four_rows(w2, x, sums);
            row_sums[sum_index(t, 3u)] += dot_four_rows(w3, x, sums);
            row_sums[sum_index(t, 0u)] += dot_four_rows(w0, x, sums);
            row_sums[sum_index(t, 1u)] += dot_four_rows(w1, x, sums);
        }
    }
    for (var t = 0u; t < x_rows; t++) {
        for (var i = 0u; i < VEC4S_PER_ROW; i += 2u) {
            let a = row_sums[sum_index(t, i)];
            let b = row_sums[sum_index(t, i + 1u)];
            for (var j = 0u; j < 4u; j++) {
                store_pair(
                    first_token + t, all_tokens, tile_pair, local_index + 2u * i + 8u * j,
                    a[j], b[j],
                );
            }
        }
    }
}
