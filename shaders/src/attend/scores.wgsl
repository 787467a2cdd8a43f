// The scores of a tile's positions, from `tile` on and below `end`, for all rows of the workgroup from `row0` on.

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
