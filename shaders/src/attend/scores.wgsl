// The scores of a tile's positions, from `tile` on and below `end`, for all rows of the workgroup from `row0` on.

// How many of the segment's positions a row may see: up to its own, or, with pages, up to where its own page begins.
fn seen_by(row: u32) -> u32 {
    let position = step_.position + row / (p.heads / p.kv_heads);
    let visible = select(position + 1u, position / p.page * p.page, p.page > 1u);
    return select(0u, visible - p.first, visible > p.first);
}

#ifdef ROWS_16
// A row's scores of the tile's positions `column` and 16, 32, 48 on, of which those below `end` count.
fn put_scores(row: u32, tile: u32, column: u32, end: u32, s: vec4<f32>) {
    let slots = vec4<u32>(tile + column) + vec4<u32>(0u, 16u, 32u, 48u);
    let known = select(vec4<f32>(NEVER), s, slots < vec4<u32>(end));
    let at = row * LANES + column;
    scores[at] = known.x;
    scores[at + 16u] = known.y;
    scores[at + 32u] = known.z;
    scores[at + 48u] = known.w;
}

// Each invocation four rows of four positions, for many rows are bound by the loads of queries.
fn score_tile(tile: u32, end: u32, kv_head: u32, row0: u32, lane: u32) {
    let column = lane % 16u;
    let high = lane / 16u * 4u;
    let quads = p.head_dim / 4u;
    let last = end - 1u;
    let b0 = key_base(kv_head, min(tile + column, last));
    let b1 = key_base(kv_head, min(tile + column + 16u, last));
    let b2 = key_base(kv_head, min(tile + column + 32u, last));
    let b3 = key_base(kv_head, min(tile + column + 48u, last));
    var s0 = vec4<f32>();
    var s1 = vec4<f32>();
    var s2 = vec4<f32>();
    var s3 = vec4<f32>();
    for (var i = 0u; i < quads; i++) {
        let k0 = k_quad(b0, i) * k_scale(b0, i);
        let k1 = k_quad(b1, i) * k_scale(b1, i);
        let k2 = k_quad(b2, i) * k_scale(b2, i);
        let k3 = k_quad(b3, i) * k_scale(b3, i);
        let q0 = queries[high * quads + i];
        let q1 = queries[(high + 1u) * quads + i];
        let q2 = queries[(high + 2u) * quads + i];
        let q3 = queries[(high + 3u) * quads + i];
        s0 += vec4<f32>(dot(q0, k0), dot(q0, k1), dot(q0, k2), dot(q0, k3));
        s1 += vec4<f32>(dot(q1, k0), dot(q1, k1), dot(q1, k2), dot(q1, k3));
        s2 += vec4<f32>(dot(q2, k0), dot(q2, k1), dot(q2, k2), dot(q2, k3));
        s3 += vec4<f32>(dot(q3, k0), dot(q3, k1), dot(q3, k2), dot(q3, k3));
    }
    put_scores(high, tile, column, min(end, seen_by(row0 + high)), s0);
    put_scores(high + 1u, tile, column, min(end, seen_by(row0 + high + 1u)), s1);
    put_scores(high + 2u, tile, column, min(end, seen_by(row0 + high + 2u)), s2);
    put_scores(high + 3u, tile, column, min(end, seen_by(row0 + high + 3u)), s3);
}
#else
// Each invocation one position, all rows, for few rows are bound by the loads of keys.
fn score_tile(tile: u32, end: u32, kv_head: u32, row0: u32, lane: u32) {
    let quads = p.head_dim / 4u;
    let slot = tile + lane;
    // Said, though WGSL promises it: one browser's compiler keeps the sums of the tile before.
    var score = array<f32, ROWS>();
    if slot < end {
        let base = key_base(kv_head, slot);
        for (var i = 0u; i < quads; i += 4u) {
            let scale = k_scale(base, i);
            let a = k_quad(base, i) * scale;
            let b = k_quad(base, i + 1u) * scale;
            let c = k_quad(base, i + 2u) * scale;
            let d = k_quad(base, i + 3u) * scale;
            for (var r = 0u; r < ROWS; r++) {
                let at = r * quads + i;
                let sum = fma(queries[at], a, fma(queries[at + 1u], b, fma(queries[at + 2u], c, queries[at + 3u] * d)));
                score[r] += (sum.x + sum.y) + (sum.z + sum.w);
            }
        }
    }
    for (var r = 0u; r < ROWS; r++) {
        scores[r * LANES + lane] = select(NEVER, score[r], slot < min(end, seen_by(row0 + r)));
    }
}
#endif
