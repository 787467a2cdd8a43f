// The rows' sums of values by weight, `acc`: column r of a matrix is row r's.

#ifdef SUBGROUP_BROADCAST
// [vec4, invocation]: each invocation uses its own elements only.
var<workgroup> shared_acc: array<mat4x4<f32>, 32u * WORKGROUP_SIZE>;

fn load_acc(i: u32, local_index: u32) -> mat4x4<f32> {
    return shared_acc[i * WORKGROUP_SIZE + local_index];
}

fn store_acc(i: u32, local_index: u32, acc: mat4x4<f32>) {
    shared_acc[i * WORKGROUP_SIZE + local_index] = acc;
}
#else
// [vec4]. Private, because browsers clear workgroup memory with code that CPU drivers compile
// slowly.
var<private> private_acc: array<mat4x4<f32>, 32u>;

fn load_acc(i: u32, local_index: u32) -> mat4x4<f32> {
    return private_acc[i];
}

fn store_acc(i: u32, local_index: u32, acc: mat4x4<f32>) {
    private_acc[i] = acc;
}
#endif

// `acc` with each row multiplied by its own factor.
fn scale_rows(acc: mat4x4<f32>, factor: vec4<f32>) -> mat4x4<f32> {
    return mat4x4(acc[0] * factor.x, acc[1] * factor.y, acc[2] * factor.z, acc[3] * factor.w);
}

// Adds the values of eight slots, from slot `t` on, to the vec4 of row `r`. In sequence, so that
// only the four rows' sums are live at once.
fn add_row(acc: vec4<f32>, v: Slots8, t: u32, r: u32) -> vec4<f32> {
    let sum0 = fma(v.slot0, vec4<f32>(weights[t][r]), acc);
    let sum1 = fma(v.slot1, vec4<f32>(weights[t + 1u][r]), sum0);
    let sum2 = fma(v.slot2, vec4<f32>(weights[t + 2u][r]), sum1);
    let sum3 = fma(v.slot3, vec4<f32>(weights[t + 3u][r]), sum2);
    let sum4 = fma(v.slot4, vec4<f32>(weights[t + 4u][r]), sum3);
    let sum5 = fma(v.slot5, vec4<f32>(weights[t + 5u][r]), sum4);
    let sum6 = fma(v.slot6, vec4<f32>(weights[t + 6u][r]), sum5);
    return fma(v.slot7, vec4<f32>(weights[t + 7u][r]), sum6);
}

fn load_slot_value(tile: Tile, slot: u32, i: u32) -> vec4<f32> {
    return load_value(value_base(tile.kv_head, min(slot, tile.end - 1u) + tile.offset), i);
}

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
fn add_slots8(acc: mat4x4<f32>, tile: Tile, t: u32, i: u32) -> mat4x4<f32> {
    let v = load_values8(tile, t, i);
    return mat4x4(
        add_row(acc[0], v, t, 0u), add_row(acc[1], v, t, 1u),
        add_row(acc[2], v, t, 2u), add_row(acc[3], v, t, 3u),
    );
}

// The same for all slots of the tile.
fn add_tile(acc: mat4x4<f32>, tile: Tile, i: u32) -> mat4x4<f32> {
    let first = add_slots8(acc, tile, 0u, i);
#ifdef FEW_ROWS
    return first;
#else
    return add_slots8(add_slots8(add_slots8(first, tile, 8u, i), tile, 16u, i), tile, 24u, i);
#endif
}

#ifdef FEW_ROWS
#import kernels/attention/cpu/combine.wgsl
#endif
