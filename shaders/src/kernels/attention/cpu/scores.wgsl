// The scores of a tile's slots, and the weights that they become.

// Private arrays are filled in loops, and read at constant indices in the inner loops.
// [vec4]: zero beyond the end of a head.
var<private> queries: array<RowVectors, 32u>;
// [slot of the invocation]: the rows' scores, then their weights.
var<private> weights: array<Rows, SLOTS_PER_INVOCATION>;

// Vec4 `i` of the key at `base`, scaled; the last one where `i` is beyond it.
fn load_scaled_key(base: u32, i: u32) -> vec4<f32> {
    let at = min(i, HEAD_DIM / 4u - 1u);
    return load_key(base, at) * load_key_scale(base, at);
}

// Stores the scores of the invocation's slot `t`, masked for the rows that don't see it.
fn store_scores(t: u32, slot: u32, visible: RowIndices, s: Rows) -> Rows {
    let masked = select(Rows(MASKED_SCORE), s, RowIndices(slot) < visible);
    weights[t] = masked;
    return masked;
}

#ifdef FEW_ROWS
fn tile_key_base(tile: Tile, t: u32) -> u32 {
    return key_base(
        tile.kv_head,
        min(invocation_slot(tile.begin, t, tile.local_index), tile.end - 1u) + tile.offset,
    );
}

fn store_tile_scores(tile: Tile, t: u32, visible: vec4<u32>, s: vec4<f32>) -> vec4<f32> {
    return store_scores(t, invocation_slot(tile.begin, t, tile.local_index), visible, s);
}

// Stores the scores of the tile's slots in `weights`. Returns each row's largest.
fn score_tile(tile: Tile, visible: vec4<u32>) -> vec4<f32> {
    let key0 = tile_key_base(tile, 0u);
    let key1 = tile_key_base(tile, 1u);
    let key2 = tile_key_base(tile, 2u);
    let key3 = tile_key_base(tile, 3u);
    let key4 = tile_key_base(tile, 4u);
    let key5 = tile_key_base(tile, 5u);
    let key6 = tile_key_base(tile, 6u);
    let key7 = tile_key_base(tile, 7u);
    var s = Slots8();
    for (var i = 0u; i < HEAD_DIM / 4u; i++) {
        let q = queries[i];
        s.slot0 += load_scaled_key(key0, i) * q;
        s.slot1 += load_scaled_key(key1, i) * q;
        s.slot2 += load_scaled_key(key2, i) * q;
        s.slot3 += load_scaled_key(key3, i) * q;
        s.slot4 += load_scaled_key(key4, i) * q;
        s.slot5 += load_scaled_key(key5, i) * q;
        s.slot6 += load_scaled_key(key6, i) * q;
        s.slot7 += load_scaled_key(key7, i) * q;
    }
    return max(
        max(
            max(
                store_tile_scores(tile, 0u, visible, s.slot0),
                store_tile_scores(tile, 1u, visible, s.slot1),
            ),
            max(
                store_tile_scores(tile, 2u, visible, s.slot2),
                store_tile_scores(tile, 3u, visible, s.slot3),
            ),
        ),
        max(
            max(
                store_tile_scores(tile, 4u, visible, s.slot4),
                store_tile_scores(tile, 5u, visible, s.slot5),
            ),
            max(
                store_tile_scores(tile, 6u, visible, s.slot6),
                store_tile_scores(tile, 7u, visible, s.slot7),
            ),
        ),
    );
}
#else
// The rows' dot products over 32 floats, from vec4 `i` on, of the key at `base`.
#ifdef SUBGROUP_BROADCAST
fn dot32(base: u32, i: u32, lane: u32) -> Rows {
    // Eight lanes load a vec4 each.
    let k = load_scaled_key(base, i + lane % 8u);
    return (dot_rows(subgroupBroadcast(k, 0u), queries[i])
            + dot_rows(subgroupBroadcast(k, 1u), queries[i + 1u]))
        + (dot_rows(subgroupBroadcast(k, 2u), queries[i + 2u])
            + dot_rows(subgroupBroadcast(k, 3u), queries[i + 3u]))
        + (dot_rows(subgroupBroadcast(k, 4u), queries[i + 4u])
            + dot_rows(subgroupBroadcast(k, 5u), queries[i + 5u]))
        + (dot_rows(subgroupBroadcast(k, 6u), queries[i + 6u])
            + dot_rows(subgroupBroadcast(k, 7u), queries[i + 7u]));
}
#else
fn dot32(base: u32, i: u32, lane: u32) -> Rows {
    return (dot_rows(load_scaled_key(base, i), queries[i])
            + dot_rows(load_scaled_key(base, i + 1u), queries[i + 1u]))
        + (dot_rows(load_scaled_key(base, i + 2u), queries[i + 2u])
            + dot_rows(load_scaled_key(base, i + 3u), queries[i + 3u]))
        + (dot_rows(load_scaled_key(base, i + 4u), queries[i + 4u])
            + dot_rows(load_scaled_key(base, i + 5u), queries[i + 5u]))
        + (dot_rows(load_scaled_key(base, i + 6u), queries[i + 6u])
            + dot_rows(load_scaled_key(base, i + 7u), queries[i + 7u]));
}
#endif

// The rows' scores with the key at `base`.
fn score_key(base: u32, lane: u32) -> Rows {
    var s = dot32(base, 0u, lane);
    if HEAD_DIM > 32u {
        s += dot32(base, 8u, lane);
    }
    if HEAD_DIM > 64u {
        s += dot32(base, 16u, lane);
    }
    if HEAD_DIM > 96u {
        s += dot32(base, 24u, lane);
    }
    return s;
}

// Stores the scores of the tile's slots in `weights`. Returns each row's largest.
fn score_tile(tile: Tile, visible: RowIndices) -> Rows {
    var row_max = Rows(MASKED_SCORE);
    for (var t = 0u; t < SLOTS_PER_INVOCATION; t++) {
        let slot = invocation_slot(tile.begin, t, tile.local_index);
        let index = min(slot, tile.end - 1u) + tile.offset;
        let s = score_key(key_base(tile.kv_head, index), tile.lane);
        row_max = max(row_max, store_scores(t, slot, visible, s));
    }
    return row_max;
}
#endif

fn weight_of(score: Rows, row_max: Rows) -> Rows {
    return select(Rows(), exp(score - row_max), score > Rows(MASKED_SCORE));
}

// Replaces the scores of eight slots, from slot `t` on, by weights. Returns their sum.
fn weigh_slots8(row_max: Rows, t: u32) -> Rows {
    let w0 = weight_of(weights[t], row_max);
    let w1 = weight_of(weights[t + 1u], row_max);
    let w2 = weight_of(weights[t + 2u], row_max);
    let w3 = weight_of(weights[t + 3u], row_max);
    let w4 = weight_of(weights[t + 4u], row_max);
    let w5 = weight_of(weights[t + 5u], row_max);
    let w6 = weight_of(weights[t + 6u], row_max);
    let w7 = weight_of(weights[t + 7u], row_max);
    weights[t] = w0;
    weights[t + 1u] = w1;
    weights[t + 2u] = w2;
    weights[t + 3u] = w3;
    weights[t + 4u] = w4;
    weights[t + 5u] = w5;
    weights[t + 6u] = w6;
    weights[t + 7u] = w7;
    return ((w0 + w1) + (w2 + w3)) + ((w4 + w5) + (w6 + w7));
}

// The same for all slots of the tile.
fn weigh_tile(row_max: Rows) -> Rows {
    let sum = weigh_slots8(row_max, 0u);
#ifdef FEW_ROWS
    return sum;
#else
    return sum + weigh_slots8(row_max, 8u)
        + (weigh_slots8(row_max, 16u) + weigh_slots8(row_max, 24u));
#endif
}
