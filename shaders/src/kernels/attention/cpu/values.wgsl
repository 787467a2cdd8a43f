// The rows' sums of values by weight, `acc`: column r of a matrix is row r's.

#ifdef SUBGROUP_BROADCAST
// [vec4, invocation]: each invocation uses its own elements only.
var<workgroup> shared_acc: array<RowVectors, 32u * WORKGROUP_SIZE>;

fn load_acc(i: u32, local_index: u32) -> RowVectors {
    return shared_acc[i * WORKGROUP_SIZE + local_index];
}

fn store_acc(i: u32, local_index: u32, acc: RowVectors) {
    shared_acc[i * WORKGROUP_SIZE + local_index] = acc;
}
#else
// [vec4]. Private, because browsers clear workgroup memory with code that CPU drivers compile
// slowly.
var<private> private_acc: array<RowVectors, 32u>;

fn load_acc(i: u32, local_index: u32) -> RowVectors {
    return private_acc[i];
}

fn store_acc(i: u32, local_index: u32, acc: RowVectors) {
    private_acc[i] = acc;
}
#endif

// Adds the values of eight slots to the vec4 of a row, by its weights. In sequence, so that only
// the rows' sums are live at once.
fn add_row(
    acc: vec4<f32>, v: Slots8,
    w0: f32, w1: f32, w2: f32, w3: f32, w4: f32, w5: f32, w6: f32, w7: f32,
) -> vec4<f32> {
    let sum0 = fma(v.slot0, vec4<f32>(w0), acc);
    let sum1 = fma(v.slot1, vec4<f32>(w1), sum0);
    let sum2 = fma(v.slot2, vec4<f32>(w2), sum1);
    let sum3 = fma(v.slot3, vec4<f32>(w3), sum2);
    let sum4 = fma(v.slot4, vec4<f32>(w4), sum3);
    let sum5 = fma(v.slot5, vec4<f32>(w5), sum4);
    let sum6 = fma(v.slot6, vec4<f32>(w6), sum5);
    return fma(v.slot7, vec4<f32>(w7), sum6);
}

fn load_slot_value(tile: Tile, slot: u32, i: u32) -> vec4<f32> {
    return load_value(value_base(tile.kv_head, min(slot, tile.end - 1u) + tile.offset), i);
}

#ifdef SUBGROUP_BROADCAST
// Loads all words of a tile's first key and the first word of each of its values. So their lines of
// memory are on the way before the tile's own loads, which go from line to line and wait for each.
fn touch_tile(tile: Tile) -> u32 {
    let key = key_base(tile.kv_head, tile.begin + tile.offset);
    var touched = 0u;
    for (var w = 0u; w < p.k_words; w += WORKGROUP_SIZE * p.one) {
        touched ^= key_word(key, min(w + tile.lane % 8u, p.k_words - 1u));
    }
    for (var t = 0u; t < SLOTS_PER_TILE; t += WORKGROUP_SIZE * p.one) {
        let slot = min(tile.begin + t + tile.lane % 8u, tile.end - 1u) + tile.offset;
        touched ^= v_cache[value_base(tile.kv_head, slot)];
    }
    return touched;
}
#endif

// Vec4 `i` of the values of eight slots, from slot `t` on.
#ifdef SUBGROUP_BROADCAST
fn load_values8(tile: Tile, t: u32, i: u32) -> Slots8 {
    // Eight lanes load one value each.
    let v = load_slot_value(tile, tile.begin + t + tile.lane % 8u, i);
    return Slots8(
        subgroupBroadcast(v, 0u), subgroupBroadcast(v, 1u),
        subgroupBroadcast(v, 2u), subgroupBroadcast(v, 3u),
        subgroupBroadcast(v, 4u), subgroupBroadcast(v, 5u),
        subgroupBroadcast(v, 6u), subgroupBroadcast(v, 7u),
    );
}
#else
fn load_tile_value(tile: Tile, t: u32, i: u32) -> vec4<f32> {
    return load_slot_value(tile, invocation_slot(tile.begin, t, tile.local_index), i);
}

fn load_values8(tile: Tile, t: u32, i: u32) -> Slots8 {
    return Slots8(
        load_tile_value(tile, t, i), load_tile_value(tile, t + 1u, i),
        load_tile_value(tile, t + 2u, i), load_tile_value(tile, t + 3u, i),
        load_tile_value(tile, t + 4u, i), load_tile_value(tile, t + 5u, i),
        load_tile_value(tile, t + 6u, i), load_tile_value(tile, t + 7u, i),
    );
}
#endif

// Adds the values of eight slots, from slot `t` on, to vec4 `i` of all rows.
fn add_tile8(acc: RowVectors, tile: Tile, t: u32, i: u32) -> RowVectors {
    return add_slots8(acc, load_values8(tile, t, i), t);
}

// The same for all slots of the tile.
fn add_tile(acc: RowVectors, tile: Tile, i: u32) -> RowVectors {
    let first = add_tile8(acc, tile, 0u, i);
#ifdef FEW_ROWS
    return first;
#else
    return add_tile8(add_tile8(add_tile8(first, tile, 8u, i), tile, 16u, i), tile, 24u, i);
#endif
}

#ifdef FEW_ROWS
#import kernels/attention/cpu/combine.wgsl
#endif
