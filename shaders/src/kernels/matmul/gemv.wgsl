// GEMV for GPUs: one token, the first of x and out.
//
// An invocation multiplies the same row of four tiles. K_SPLITS invocations share the groups of a
// row, and add up their sums in workgroup memory. Many invocations hide the latency of loads; a
// prefetch of the next group would take more registers than some GPUs have.
override ROWS_PER_TILE: u32 = 8; // rows of each tile in a workgroup
override K_SPLITS: u32 = 32;

var<workgroup> row_sums: array<vec4<f32>, ROWS_PER_TILE * K_SPLITS>;
var<workgroup> square_sums: array<f32, ROWS_PER_TILE * K_SPLITS>;

@compute @workgroup_size(ROWS_PER_TILE, K_SPLITS, 1)
fn matmul(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_id) local_id: vec3<u32>,
) {
    let index = workgroup_index(workgroup);
    let tile_quad = index / (32u / ROWS_PER_TILE);
    let row = index % (32u / ROWS_PER_TILE) * ROWS_PER_TILE + local_id.x;
    let base0 = tile_row_base(4u * tile_quad, row);
    let base1 = tile_row_base(4u * tile_quad + 1u, row);
    let base2 = tile_row_base(4u * tile_quad + 2u, row);
    let base3 = tile_row_base(4u * tile_quad + 3u, row);
    var sum = vec4<f32>();
    var squares = 0.0;
    let groups = groups_in_row();
    for (var g = local_id.y; g < groups; g += K_SPLITS) {
        var v = load_x(g * 8u);
        let w0 = load_packed(base0, g);
        let w1 = load_packed(base1, g);
        let w2 = load_packed(base2, g);
        let w3 = load_packed(base3, g);
        if IS_NORMED {
            squares += sum_of_squares(v);
            v = times_norm(v, g * 8u);
        }
        let sums = half_sums(v);
        sum += vec4<f32>(
            dot_group(unpack(w0, g), v, sums), dot_group(unpack(w1, g), v, sums),
            dot_group(unpack(w2, g), v, sums), dot_group(unpack(w3, g), v, sums),
        );
    }
    let local_index = local_id.y * ROWS_PER_TILE + local_id.x;
    row_sums[local_index] = sum;
    square_sums[local_index] = squares;
    for (var half = K_SPLITS / 2u; half > 0u; half >>= 1u) {
        workgroupBarrier();
        if local_id.y < half {
            row_sums[local_index] += row_sums[local_index + half * ROWS_PER_TILE];
            square_sums[local_index] += square_sums[local_index + half * ROWS_PER_TILE];
        }
    }
    if local_id.y == 0u {
        sum = row_sums[local_index];
        if IS_NORMED {
            // The K_SPLITS invocations of a row have added the squares of all of x.
            sum *= norm_scale(square_sums[local_index]);
        }
        store_pair(0u, 1u, 2u * tile_quad, row, sum.x, sum.y);
        store_pair(0u, 1u, 2u * tile_quad + 1u, row, sum.z, sum.w);
    }
}
