// Attention on CPUs, where a workgroup runs on one core and an invocation is a SIMD lane. A tile of
// slots is scored, weighed and added with one update of the running maximum (Milakov and Gimelshein
// 2018).
//
// Loops are short enough for the core's cache of decoded instructions.
// - `cpu` and `cpu_subgroup`: 32 rows a workgroup. Each invocation has four rows of its own and
//   goes through all slots of the split, 32 a tile. With SUBGROUP_BROADCAST, eight lanes share the
//   loads of keys and values.
// - `cpu_few_rows_subgroup` (ONE_ROW): the same with one row for each invocation, eight a
//   workgroup. A row has the same bits in both.
// - `cpu_few_rows` (FEW_ROWS): four rows a workgroup, the same for all invocations. Each takes
//   every eighth slot, eight a tile, and the workgroup combines their partials at the end.
//
// Queries and weights are private. `acc` is private too, but with SUBGROUP_BROADCAST, where it is
// in workgroup memory. `cpu_few_rows` exchanges partials through workgroup memory.
const WORKGROUP_SIZE = 8u;
#ifdef ONE_ROW
#import kernels/attention/cpu/rows1.wgsl
#else
#import kernels/attention/cpu/rows4.wgsl
#endif
#ifdef FEW_ROWS
const SAME_ROWS = true; // all invocations of a workgroup have the same rows
const ROWS_PER_WORKGROUP = 4u;
const SLOTS_PER_INVOCATION = 8u; // in a tile
const SLOTS_PER_TILE = SLOTS_PER_INVOCATION * WORKGROUP_SIZE;

fn invocation_rows(row0: u32, local_index: u32) -> RowIndices {
    return rows_from(row0);
}

// Slot `t` of the invocation's in the tile that begins with slot `first`.
fn invocation_slot(first: u32, t: u32, local_index: u32) -> u32 {
    return first + t * WORKGROUP_SIZE + local_index;
}
#else
const SAME_ROWS = false;
const ROWS_PER_WORKGROUP = ROWS_PER_INVOCATION * WORKGROUP_SIZE;
const SLOTS_PER_INVOCATION = 32u; // in a tile
const SLOTS_PER_TILE = SLOTS_PER_INVOCATION;

fn invocation_rows(row0: u32, local_index: u32) -> RowIndices {
    return rows_from(row0 + ROWS_PER_INVOCATION * local_index);
}

// Slot `t` of the invocation's in the tile that begins with slot `first`.
fn invocation_slot(first: u32, t: u32, local_index: u32) -> u32 {
    return first + t;
}
#endif

// An invocation's view of a tile: slots from `begin` on, below `end`, of a KV head. `offset` is
// their `slot_offset`.
struct Tile {
    kv_head: u32, begin: u32, end: u32, offset: u32, local_index: u32, lane: u32,
}

// A vec4 for each of eight slots: of their keys or values, or the scores of the four rows.
struct Slots8 {
    slot0: vec4<f32>, slot1: vec4<f32>, slot2: vec4<f32>, slot3: vec4<f32>,
    slot4: vec4<f32>, slot5: vec4<f32>, slot6: vec4<f32>, slot7: vec4<f32>,
}

// Loops that step by `p.one` are not unrolled, because drivers compile long code slowly.
#import kernels/attention/cpu/scores.wgsl
#import kernels/attention/cpu/values.wgsl

// Stores four floats of a row: of the output, or of its partial.
fn store_acc4(is_row: bool, out_at: u32, partial_at: u32, acc: vec4<f32>, row_sum: f32) {
    if !is_row {
        return;
    }
    if p.write_output == 1u {
        out[out_at] = acc / row_sum;
        return;
    }
    store_partial4(partial_at, acc);
}

fn store_stats(is_row: bool, partial_at: u32, row_max: f32, row_sum: f32) {
    if is_row {
        partials[partial_at + HEAD_DIM] = row_max;
        partials[partial_at + HEAD_DIM + 1u] = row_sum;
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
#ifdef PAGED
fn attention_paged(
#else
fn attention(
#endif
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
#ifdef SUBGROUP_BROADCAST
    @builtin(subgroup_invocation_id) lane: u32,
#endif
) {
    let ratio = p.heads / p.kv_heads;
    let work = work_of(group);
    let rows = rows_of(work);
    let row0 = first_row_of(group, ROWS_PER_WORKGROUP);
    let kv_head = group.y;
    if row0 >= rows || !has_work(group, work) {
        return;
    }
    let last_row = min(row0 + ROWS_PER_WORKGROUP, rows) - 1u;
    let slots = work_slots(work, last_row);
    let begin = slots.begin;
    let end = slots.end;
    if begin >= end && continues_partials() && p.write_output == 0u {
        return;
    }

    let vec4s = HEAD_DIM / 4u;
    let own_rows = invocation_rows(row0, local_index);
    let is_row = own_rows <= RowIndices(last_row);
    let row = min(own_rows, RowIndices(last_row));
    let token = tokens_of_rows(work, row / ratio);
    let head = kv_head * ratio + row % ratio;
    let q_at = token * (p.q_stride / 4u) + head * vec4s;
    let out_at = (token * p.heads + head) * vec4s;
    let partial_at = partials_of_rows(work, kv_head, rows, row);
    let visible = min(visible_slots_of_rows(work, row), RowIndices(end));
    // Where all invocations have the same rows, the first one continues from their partials.
    let continues = continues_partials() && (!SAME_ROWS || local_index == 0u);
    var row_max = Rows(MASKED_SCORE);
    var row_sum = Rows();
    if continues {
        row_max = load_partials(partial_at + HEAD_DIM);
        row_sum = load_partials(partial_at + HEAD_DIM + 1u);
    }
    for (var i = 0u; i < vec4s; i += p.one) {
        queries[i] = load_queries(q_at + i) * p.scale;
        var acc = RowVectors();
        if continues {
            acc = load_partials4(partial_at + 4u * i);
        }
        store_acc(i, local_index, acc);
    }

#ifdef SUBGROUP_BROADCAST
    var touched = 0u;
#endif
    for (var first = begin; first < end; first += SLOTS_PER_TILE) {
        let offset = slot_offset(slots, first);
#ifdef SUBGROUP_BROADCAST
        let tile = Tile(kv_head, first, end, offset, local_index, lane);
        let next = min(first + SLOTS_PER_TILE, end - 1u);
        let next_offset = slot_offset(slots, next);
        touched ^= touch_tile(Tile(kv_head, next, end, next_offset, local_index, lane));
#else
        let tile = Tile(kv_head, first, end, offset, local_index, local_index);
#endif
        let previous_max = row_max;
        row_max = max(row_max, score_tile(tile, visible));
        let rescale = exp(previous_max - row_max);
        row_sum = fma(row_sum, rescale, weigh_tile(row_max));
        for (var i = 0u; i < vec4s; i++) {
            let acc = load_acc(i, local_index);
            store_acc(i, local_index, add_tile(scale_rows(acc, rescale), tile, i));
        }
    }

#ifdef SUBGROUP_BROADCAST
    // Never so, which the compiler does not know: it keeps the loads.
    if p.one == 0u {
        row_sum += Rows(f32(touched));
    }
#endif
#ifdef FEW_ROWS
    let stats = combine_stats(row_max, row_sum, local_index);
    let rescale = exp(row_max - stats.row_max);
    row_max = stats.row_max;
    row_sum = stats.row_sum;
    for (var first = 0u; first < vec4s; first += WORKGROUP_SIZE * p.one) {
        let i = first + local_index;
        let acc = combine_acc(first, rescale, local_index);
#else
    for (var i = 0u; i < vec4s; i += p.one) {
        let acc = load_acc(i, local_index);
#endif
        if i < vec4s {
            store_acc_of_rows(is_row, out_at + i, partial_at + 4u * i, acc, row_sum);
        }
    }
    if p.write_output == 0u && (!SAME_ROWS || local_index == 0u) {
        store_stats_of_rows(is_row, partial_at, row_max, row_sum);
    }
}
