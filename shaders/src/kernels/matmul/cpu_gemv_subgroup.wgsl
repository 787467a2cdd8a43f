// One token, for CPUs with subgroups of 8 and more: rows 8 apart, four of a tile, an invocation.
// The lanes load x's quads, one each, and tell the others. Where x is still to be normalised they
// see to that on the way: a launch costs more than the loads.

// Products with a tile's rows, and the squares of the lane's own part of x.
struct Found { products: vec4<f32>, squares: f32 }

fn dot_tile(tile: u32, own: u32, lane: u32) -> Found {
    let b = bases_of(tile, own);
    let groups = row_groups();
    let at = p.x_first * groups * 8u;
    let normed = is_normed();
    var sum = vec4<f32>();
    var squares = 0.0;
    for (var g = 0u; g < groups; g++) {
        let quad = g * 8u + lane % 8u;
        var x_own = x_quad(at + quad);
        if normed {
            squares += dot(x_own, x_own);
            x_own *= norm_quad(quad);
        }
        let v = spread_x(x_own);
        let sums = sums_of(v);
        sum += vec4<f32>(
            dot_stored(load_stored(b.x, g), v, sums), dot_stored(load_stored(b.y, g), v, sums),
            dot_stored(load_stored(b.z, g), v, sums), dot_stored(load_stored(b.w, g), v, sums),
        );
    }
    return Found(sum, squares);
}

@compute @workgroup_size(8)
fn matmul(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) own: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let pair = unit_of(group);
    let a = dot_tile(2u * pair, own, lane);
    let b = dot_tile(2u * pair + 1u, own, lane);
    // Eight lanes have seen all of x.
    let scale = select(1.0, norm_scale(subgroupAdd(a.squares)), is_normed());
    let tokens = token_count();
    for (var i = 0u; i < 4u; i++) {
        store_pair(0u, tokens, pair, own + 8u * i, a.products[i] * scale, b.products[i] * scale);
    }
}
