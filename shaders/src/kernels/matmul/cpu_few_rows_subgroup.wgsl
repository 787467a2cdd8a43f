// Matmul of a few rows of x for CPUs with subgroups of 8 or more: up to X_ROWS a workgroup.
//
// An invocation multiplies four rows of a tile, 8 apart, in two tiles. The arithmetic of each row
// of x is that of cpu_gemv_subgroup in the same order: the results have the same bits.
//
// For each group an invocation loads and broadcasts the rows of x once. A short loop over its rows
// of W unpacks one of each tile, and multiplies it with all rows of x. Sums stay in variables: the
// loop takes the first of four and puts it last, because an index would be a gather from memory.
override X_ROWS: u32 = 8; // rows of x in a workgroup: 1, 2, 4 or 8

// A group of a row of x.
struct XGroup { v: Group, sums: vec2<f32> }

// The sums of a row of x with the invocation's rows of both tiles, and the squares of the vectors
// of x that its lane loads.
struct RowSums { a: vec4<f32>, b: vec4<f32>, squares: f32 }

fn broadcast_x(lane_x: vec4<f32>) -> XGroup {
    let v = broadcast_group(lane_x);
    return XGroup(v, half_sums(v));
}

// Adds the squares of a vector.
fn add_squares(s: RowSums, lane_x: vec4<f32>) -> RowSums {
    return RowSums(s.a, s.b, s.squares + dot(lane_x, lane_x));
}

// Adds the product of a group of the first row to its sum, which becomes the last.
fn add_product(sums: vec4<f32>, w: ScaledGroup, x: XGroup) -> vec4<f32> {
    return vec4<f32>(sums.yzw, sums.x + dot_group(w, x.v, x.sums));
}

@compute @workgroup_size(8)
fn matmul(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let tokens = token_count();
    let first_token = workgroup.z * X_ROWS;
    if first_token >= tokens {
        return;
    }
    let tile_pair = workgroup_index(workgroup);
    var bases_a = tile_row_bases(2u * tile_pair, local_index);
    var bases_b = tile_row_bases(2u * tile_pair + 1u, local_index);
    let groups = group_count();
    let normed = is_normed();
    // Always 4. Opaque to the compiler, so the loop to it is not unrolled.
    let four = min(4u, arrayLength(&x));
    // Rows beyond the last token are computed from the last token's, and not stored.
    let last = tokens - 1u - first_token;
    let stride = groups * 8u;
    let x_first = (p.x_first + first_token) * stride;
    var s0 = RowSums();
    var s1 = RowSums();
    var s2 = RowSums();
    var s3 = RowSums();
    var s4 = RowSums();
    var s5 = RowSums();
    var s6 = RowSums();
    var s7 = RowSums();
    var x0 = XGroup();
    var x1 = XGroup();
    var x2 = XGroup();
    var x3 = XGroup();
    var x4 = XGroup();
    var x5 = XGroup();
    var x6 = XGroup();
    var x7 = XGroup();
    for (var g = 0u; g < groups; g++) {
        let vec4_index = g * 8u + lane % 8u;
        let at = x_first + vec4_index;
        // Without a norm a factor that changes nothing.
        var lane_norm = vec4<f32>(1.0);
        if normed {
            lane_norm = norm_vec4(vec4_index);
        }
        let v0 = x_vec4(at);
        s0 = add_squares(s0, v0);
        x0 = broadcast_x(v0 * lane_norm);
        if X_ROWS > 1u {
            let v1 = x_vec4(at + min(1u, last) * stride);
            s1 = add_squares(s1, v1);
            x1 = broadcast_x(v1 * lane_norm);
        }
        if X_ROWS > 2u {
            let v2 = x_vec4(at + min(2u, last) * stride);
            let v3 = x_vec4(at + min(3u, last) * stride);
            s2 = add_squares(s2, v2);
            s3 = add_squares(s3, v3);
            x2 = broadcast_x(v2 * lane_norm);
            x3 = broadcast_x(v3 * lane_norm);
        }
        if X_ROWS > 4u {
            let v4 = x_vec4(at + min(4u, last) * stride);
            let v5 = x_vec4(at + min(5u, last) * stride);
            let v6 = x_vec4(at + min(6u, last) * stride);
            let v7 = x_vec4(at + min(7u, last) * stride);
            s4 = add_squares(s4, v4);
            s5 = add_squares(s5, v5);
            s6 = add_squares(s6, v6);
            s7 = add_squares(s7, v7);
            x4 = broadcast_x(v4 * lane_norm);
            x5 = broadcast_x(v5 * lane_norm);
            x6 = broadcast_x(v6 * lane_norm);
            x7 = broadcast_x(v7 * lane_norm);
        }
        for (var i = 0u; i < four; i++) {
            let a = load_group(bases_a.x, g);
            s0.a = add_product(s0.a, a, x0);
            if X_ROWS > 1u {
                s1.a = add_product(s1.a, a, x1);
            }
            if X_ROWS > 2u {
                s2.a = add_product(s2.a, a, x2);
                s3.a = add_product(s3.a, a, x3);
            }
            if X_ROWS > 4u {
                s4.a = add_product(s4.a, a, x4);
                s5.a = add_product(s5.a, a, x5);
                s6.a = add_product(s6.a, a, x6);
                s7.a = add_product(s7.a, a, x7);
            }
            let b = load_group(bases_b.x, g);
            s0.b = add_product(s0.b, b, x0);
            if X_ROWS > 1u {
                s1.b = add_product(s1.b, b, x1);
            }
            if X_ROWS > 2u {
                s2.b = add_product(s2.b, b, x2);
                s3.b = add_product(s3.b, b, x3);
            }
            if X_ROWS > 4u {
                s4.b = add_product(s4.b, b, x4);
                s5.b = add_product(s5.b, b, x5);
                s6.b = add_product(s6.b, b, x6);
                s7.b = add_product(s7.b, b, x7);
            }
            bases_a = bases_a.yzwx;
            bases_b = bases_b.yzwx;
        }
    }
    for (var t = 0u; t < X_ROWS; t++) {
        var s = s0;
        switch t {
            case 1u: { s = s1; }
            case 2u: { s = s2; }
            case 3u: { s = s3; }
            case 4u: { s = s4; }
            case 5u: { s = s5; }
            case 6u: { s = s6; }
            case 7u: { s = s7; }
            default: {}
        }
        // The eight lanes together hold the squares of all of the row.
        let scale = select(1.0, norm_scale(subgroupAdd(s.squares)), normed);
        for (var i = 0u; i < 4u; i++) {
            let row = local_index + 8u * i;
            store_pair(first_token + t, tokens, tile_pair, row, s.a[i] * scale, s.b[i] * scale);
        }
    }
}
