// GEMV for CPUs with subgroups of 8 or more: one token.
//
// An invocation multiplies four rows of a tile, 8 apart, in two tiles. Each lane loads one vector
// of a group of x and broadcasts it. The kernel normalises x on the way, because a dispatch costs
// more than the loads.

// A tile's sums, and the squares of this lane's vectors of x.
struct TileSums { rows: vec4<f32>, squares: f32 }

fn dot_tile(tile: u32, local_index: u32, lane: u32) -> TileSums {
    let bases = tile_row_bases(tile, local_index);
    let groups = group_count();
    let at = p.x_first * groups * 8u;
    let normed = is_normed();
    var sum = vec4<f32>();
    var squares = 0.0;
    for (var g = 0u; g < groups; g++) {
        let vec4_index = g * 8u + lane % 8u;
        var lane_x = x_vec4(at + vec4_index);
        if normed {
            squares += dot(lane_x, lane_x);
            lane_x *= norm_vec4(vec4_index);
        }
        let v = broadcast_group(lane_x);
        let sums = half_sums(v);
        sum += vec4<f32>(
            dot_group(load_group(bases.x, g), v, sums), dot_group(load_group(bases.y, g), v, sums),
            dot_group(load_group(bases.z, g), v, sums), dot_group(load_group(bases.w, g), v, sums),
        );
    }
    return TileSums(sum, squares);
}

@compute @workgroup_size(8)
fn matmul(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let tile_pair = workgroup_index(workgroup);
    let a = dot_tile(2u * tile_pair, local_index, lane);
    let b = dot_tile(2u * tile_pair + 1u, local_index, lane);
    // The eight lanes together hold the squares of all of x.
    let scale = select(1.0, norm_scale(subgroupAdd(a.squares)), is_normed());
    let tokens = token_count();
    for (var i = 0u; i < 4u; i++) {
        let row = local_index + 8u * i;
        store_pair(0u, tokens, tile_pair, row, a.rows[i] * scale, b.rows[i] * scale);
    }
}
