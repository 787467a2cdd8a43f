// One token, for CPUs, which pay for loads: eight rows an invocation, x loaded once for all of them.
@compute @workgroup_size(32)
fn matmul(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let tile = unit_of(group) * 8u;
    let b0 = base_of(tile, lane);
    let b1 = base_of(tile + 1u, lane);
    let b2 = base_of(tile + 2u, lane);
    let b3 = base_of(tile + 3u, lane);
    let b4 = base_of(tile + 4u, lane);
    let b5 = base_of(tile + 5u, lane);
    let b6 = base_of(tile + 6u, lane);
    let b7 = base_of(tile + 7u, lane);
    let at = p.x_first * p.groups * 8u;
    var low = vec4<f32>();
    var high = vec4<f32>();
    var squares = 0.0;
    let groups = row_groups();
    for (var g = 0u; g < groups; g++) {
        var v = load_x(at + g * 8u);
        if NORMED {
            squares += squares_of(v);
            v = times_norm(v, g * 8u);
        }
        let sums = sums_of(v);
        low += vec4<f32>(
            dot_stored(load_stored(b0, g), v, sums), dot_stored(load_stored(b1, g), v, sums),
            dot_stored(load_stored(b2, g), v, sums), dot_stored(load_stored(b3, g), v, sums),
        );
        high += vec4<f32>(
            dot_stored(load_stored(b4, g), v, sums), dot_stored(load_stored(b5, g), v, sums),
            dot_stored(load_stored(b6, g), v, sums), dot_stored(load_stored(b7, g), v, sums),
        );
    }
    if NORMED {
        let scale = norm_scale(squares);
        low *= scale;
        high *= scale;
    }
    let tokens = token_count();
    put_pair(0u, tokens, tile / 2u, lane, low.x, low.y);
    put_pair(0u, tokens, tile / 2u + 1u, lane, low.z, low.w);
    put_pair(0u, tokens, tile / 2u + 2u, lane, high.x, high.y);
    put_pair(0u, tokens, tile / 2u + 3u, lane, high.z, high.w);
}
