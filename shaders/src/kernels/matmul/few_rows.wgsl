// Matmul of a few rows of x for GPUs: up to X_ROWS a workgroup.
//
// The arithmetic of each row of x is that of gemv in the same order: an invocation multiplies the
// same row of two tiles, K_SPLITS invocations share the groups of a row, and add up their sums in
// workgroup memory. An invocation unpacks a group of weights once for all rows of x.
override ROWS_PER_TILE: u32 = 8; // rows of each tile in a workgroup
override K_SPLITS: u32 = 32;
override X_ROWS: u32 = 8;        // rows of x in a workgroup: 1, 2, 4 or 8

// Of one row of x at a time.
var<workgroup> row_sums: array<vec2<f32>, ROWS_PER_TILE * K_SPLITS>;
var<workgroup> square_sums: array<f32, ROWS_PER_TILE * K_SPLITS>;

// The sums of a row of x with one row of each of two tiles, and of its squares.
struct RowSums { products: vec2<f32>, squares: f32 }

// The same group of one row of each of two tiles.
struct TwoTiles { tile0: ScaledGroup, tile1: ScaledGroup }

// Adds the products of group `g`. `at` is the first vector of the row of x.
fn add_group(sums: RowSums, w: TwoTiles, at: u32, g: u32) -> RowSums {
    var v = load_x(at + g * 8u);
    var squares = sums.squares;
    if IS_NORMED {
        squares += sum_of_squares(v);
        v = times_norm(v, g * 8u);
    }
    let halves = half_sums(v);
    let products = vec2<f32>(dot_group(w.tile0, v, halves), dot_group(w.tile1, v, halves));
    return RowSums(sums.products + products, squares);
}

@compute @workgroup_size(ROWS_PER_TILE, K_SPLITS, 1)
fn matmul(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_id) local_id: vec3<u32>,
) {
    let tokens = token_count();
    let first_token = workgroup.z * X_ROWS;
    if first_token >= tokens {
        return;
    }
    let index = workgroup_index(workgroup);
    let tile_pair = index / (32u / ROWS_PER_TILE);
    let row = index % (32u / ROWS_PER_TILE) * ROWS_PER_TILE + local_id.x;
    let base0 = tile_row_base(2u * tile_pair, row);
    let base1 = tile_row_base(2u * tile_pair + 1u, row);
    let groups = groups_in_row();
    // Rows beyond the last token are computed from the last token's, and not stored.
    let at = (p.x_first + first_token) * groups * 8u;
    let stride = groups * 8u;
    let last = tokens - 1u - first_token;
    var s0 = RowSums();
    var s1 = RowSums();
    var s2 = RowSums();
    var s3 = RowSums();
    var s4 = RowSums();
    var s5 = RowSums();
    var s6 = RowSums();
    var s7 = RowSums();
    for (var g = local_id.y; g < groups; g += K_SPLITS) {
        let p0 = load_packed(base0, g);
        let p1 = load_packed(base1, g);
        let w = TwoTiles(unpack(p0, g), unpack(p1, g));
        s0 = add_group(s0, w, at, g);
        if X_ROWS > 1u {
            s1 = add_group(s1, w, at + min(1u, last) * stride, g);
        }
        if X_ROWS > 2u {
            s2 = add_group(s2, w, at + min(2u, last) * stride, g);
            s3 = add_group(s3, w, at + min(3u, last) * stride, g);
        }
        if X_ROWS > 4u {
            s4 = add_group(s4, w, at + min(4u, last) * stride, g);
            s5 = add_group(s5, w, at + min(5u, last) * stride, g);
            s6 = add_group(s6, w, at + min(6u, last) * stride, g);
            s7 = add_group(s7, w, at + min(7u, last) * stride, g);
        }
    }
    // The rows of x one after the other: the invocations that share a row of each tile add up their
    // sums.
    let local_index = local_id.y * ROWS_PER_TILE + local_id.x;
    for (var t = 0u; t < X_ROWS; t++) {
        var sums = s0;
        switch t {
            case 1u: { sums = s1; }
            case 2u: { sums = s2; }
            case 3u: { sums = s3; }
            case 4u: { sums = s4; }
            case 5u: { sums = s5; }
            case 6u: { sums = s6; }
            case 7u: { sums = s7; }
            default: {}
        }
        workgroupBarrier();
        row_sums[local_index] = sums.products;
        square_sums[local_index] = sums.squares;
        for (var half = K_SPLITS / 2u; half > 0u; half >>= 1u) {
            workgroupBarrier();
            if local_id.y < half {
                row_sums[local_index] += row_sums[local_index + half * ROWS_PER_TILE];
                square_sums[local_index] += square_sums[local_index + half * ROWS_PER_TILE];
            }
        }
        if local_id.y == 0u {
            var sum = row_sums[local_index];
            if IS_NORMED {
                // The K_SPLITS invocations of a row have added the squares of all of x.
                sum *= norm_scale(square_sums[local_index]);
            }
            store_pair(first_token + t, tokens, tile_pair, row, sum.x, sum.y);
        }
    }
}
