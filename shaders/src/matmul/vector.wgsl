// One token, for GPUs, which want many invocations: each has a row of two tiles, SPLITS of them share the rows' groups.
override LANES: u32 = 32;  // rows of a tile in a workgroup
override SPLITS: u32 = 8;

var<workgroup> partial: array<vec2<f32>, LANES * SPLITS>;

@compute @workgroup_size(LANES, SPLITS, 1)
fn matmul(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let unit = group.x + group.y * p.across;
    let pair = unit / (32u / LANES);
    let lane = unit % (32u / LANES) * LANES + local.x;
    let b0 = base_of(2u * pair, lane);
    let b1 = base_of(2u * pair + 1u, lane);
    let at = p.x_first * p.groups * 8u;
    var sum = vec2<f32>();
    for (var g = local.y; g < p.groups; g += SPLITS) {
        let v = load_x(at + g * 8u);
        let sums = sums_of(v);
        sum += vec2<f32>(dot_stored(load_stored(b0, g), v, sums), dot_stored(load_stored(b1, g), v, sums));
    }
    let own = local.y * LANES + local.x;
    partial[own] = sum;
    for (var half = SPLITS / 2u; half > 0u; half >>= 1u) {
        workgroupBarrier();
        if local.y < half {
            partial[own] += partial[own + half * LANES];
        }
    }
    if local.y == 0u {
        put_pair(0u, token_count(), pair, lane, partial[own].x, partial[own].y);
    }
}
