// One token, for GPUs, which want many invocations and few loads: each has the same row of four
// tiles, SPLITS of them share the rows' groups. What hides the loads is that there are many: the
// next group's on their way would be more registers than some GPUs have. x and y are the first
// token's.
override LANES: u32 = 8;   // rows of a tile in a workgroup
override SPLITS: u32 = 32;

var<workgroup> parts: array<vec4<f32>, LANES * SPLITS>;
var<workgroup> squares: array<f32, LANES * SPLITS>;

@compute @workgroup_size(LANES, SPLITS, 1)
fn matmul(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let unit = unit_of(group);
    let four = unit / (32u / LANES);
    let lane = unit % (32u / LANES) * LANES + local.x;
    let b0 = base_of(4u * four, lane);
    let b1 = base_of(4u * four + 1u, lane);
    let b2 = base_of(4u * four + 2u, lane);
    let b3 = base_of(4u * four + 3u, lane);
    var sum = vec4<f32>();
    var square = 0.0;
    let groups = groups_in_row();
    for (var g = local.y; g < groups; g += SPLITS) {
        var v = load_x(g * 8u);
        let w0 = load_packed(b0, g);
        let w1 = load_packed(b1, g);
        let w2 = load_packed(b2, g);
        let w3 = load_packed(b3, g);
        if NORMED {
            square += squares_of(v);
            v = times_norm(v, g * 8u);
        }
        let sums = sums_of(v);
        sum += vec4<f32>(
            dot_stored(unpack(w0, g), v, sums), dot_stored(unpack(w1, g), v, sums),
            dot_stored(unpack(w2, g), v, sums), dot_stored(unpack(w3, g), v, sums),
        );
    }
    let own = local.y * LANES + local.x;
    parts[own] = sum;
    squares[own] = square;
    for (var half = SPLITS / 2u; half > 0u; half >>= 1u) {
        workgroupBarrier();
        if local.y < half {
            parts[own] += parts[own + half * LANES];
            squares[own] += squares[own + half * LANES];
        }
    }
    if local.y == 0u {
        sum = parts[own];
        if NORMED {
            // Every lane has seen all of x.
            sum *= norm_scale(squares[own]);
        }
        store_pair(0u, 1u, 2u * four, lane, sum.x, sum.y);
        store_pair(0u, 1u, 2u * four + 1u, lane, sum.z, sum.w);
    }
}
