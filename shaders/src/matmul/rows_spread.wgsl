// One token, for CPUs with subgroups of 8 and more: rows 8 apart, four of a tile, an invocation. The lanes load x's quads, one
// each, and tell the others.
fn dot_tile(tile: u32, own: u32, lane: u32) -> vec4<f32> {
    let b = bases_of(tile, own);
    let groups = row_groups();
    let at = p.x_first * groups * 8u;
    var sum = vec4<f32>();
    for (var g = 0u; g < groups; g++) {
        let v = spread_x(x_quad(at + g * 8u + lane % 8u));
        let sums = sums_of(v);
        sum += vec4<f32>(
            dot_stored(load_stored(b.x, g), v, sums), dot_stored(load_stored(b.y, g), v, sums),
            dot_stored(load_stored(b.z, g), v, sums), dot_stored(load_stored(b.w, g), v, sums),
        );
    }
    return sum;
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
    let tokens = token_count();
    for (var i = 0u; i < 4u; i++) {
        put_pair(0u, tokens, pair, own + 8u * i, a[i], b[i]);
    }
}
