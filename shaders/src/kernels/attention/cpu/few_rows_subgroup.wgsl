// `cpu_few_rows_subgroup`: four rows a workgroup, the same for all of its eight lanes.
//
// The arithmetic of each row is that of `cpu_subgroup` in the same order, so that a token has the
// same result alone and among others. Of a tile of 32 slots, a lane scores every eighth slot; of
// the values, it adds up every eighth vec4. Weights are broadcast within the subgroup.
#import kernels/attention/cpu/lanes.wgsl

// A lane's vec4s of the rows' sums, column r being row r's: vec4 `lane + 8 m` is number m.
struct LaneAcc { acc0: mat4x4<f32>, acc1: mat4x4<f32>, acc2: mat4x4<f32>, acc3: mat4x4<f32> }

// The scores of the rows with slot `slot`, masked for those that don't see it.
fn lane_scores(tile: Tile, slot: u32, visible: vec4<u32>) -> vec4<f32> {
    let index = min(slot, tile.end - 1u) + tile.offset;
    let s = score_key(key_base(tile.kv_head, index), tile.lane);
    return select(vec4<f32>(MASKED_SCORE), s, vec4<u32>(slot) < visible);
}

// Adds vec4 `i` of a slot's value to that of the rows, by weight.
fn add_slot(acc: mat4x4<f32>, tile: Tile, slot: u32, i: u32, w: vec4<f32>) -> mat4x4<f32> {
    let v = load_slot_value(tile, slot, min(i, HEAD_DIM / 4u - 1u));
    return mat4x4(
        fma(v, vec4<f32>(w.x), acc[0]), fma(v, vec4<f32>(w.y), acc[1]),
        fma(v, vec4<f32>(w.z), acc[2]), fma(v, vec4<f32>(w.w), acc[3]),
    );
}

// The same for eight slots, from slot `slot` on, in sequence.
fn add_lane_slots8(acc: mat4x4<f32>, tile: Tile, slot: u32, i: u32, w: Slots8) -> mat4x4<f32> {
    let sum0 = add_slot(acc, tile, slot, i, w.slot0);
    let sum1 = add_slot(sum0, tile, slot + 1u, i, w.slot1);
    let sum2 = add_slot(sum1, tile, slot + 2u, i, w.slot2);
    let sum3 = add_slot(sum2, tile, slot + 3u, i, w.slot3);
    let sum4 = add_slot(sum3, tile, slot + 4u, i, w.slot4);
    let sum5 = add_slot(sum4, tile, slot + 5u, i, w.slot5);
    let sum6 = add_slot(sum5, tile, slot + 6u, i, w.slot6);
    return add_slot(sum6, tile, slot + 7u, i, w.slot7);
}

// The same for all slots of a tile, with what `acc` has so far rescaled.
fn add_lane_tile(
    acc: mat4x4<f32>, rescale: vec4<f32>, tile: Tile, i: u32, weights: LaneSlots,
) -> mat4x4<f32> {
    var sum = scale_rows(acc, rescale);
    for (var k = 0u; k < 4u; k += p.one) {
        let w = broadcast_weights(lane_slot(weights, k));
        sum = add_lane_slots8(sum, tile, tile.begin + 8u * k, i, w);
    }
    return sum;
}

// Vec4 `i` of the rows' partials.
fn load_lane_acc(partial_at: vec4<u32>, i: u32) -> mat4x4<f32> {
    let at = partial_at + 4u * min(i, HEAD_DIM / 4u - 1u);
    return mat4x4(
        load_partial4(at.x), load_partial4(at.y), load_partial4(at.z), load_partial4(at.w),
    );
}

fn store_lane_acc(to: LaneRows, i: u32, acc: mat4x4<f32>, row_sum: vec4<f32>) {
    if i < HEAD_DIM / 4u {
        let out_at = to.out_at + i;
        let at = to.partial_at + 4u * i;
        store_acc4(to.is_row.x, out_at.x, at.x, acc[0], row_sum.x);
        store_acc4(to.is_row.y, out_at.y, at.y, acc[1], row_sum.y);
        store_acc4(to.is_row.z, out_at.z, at.z, acc[2], row_sum.z);
        store_acc4(to.is_row.w, out_at.w, at.w, acc[3], row_sum.w);
    }
}

// Where the results of the four rows go.
struct LaneRows { is_row: vec4<bool>, out_at: vec4<u32>, partial_at: vec4<u32> }

@compute @workgroup_size(WORKGROUP_SIZE)
#ifdef PAGED
fn attention_paged(
#else
fn attention(
#endif
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
    @builtin(subgroup_invocation_id) lane: u32,
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
    let own_rows = vec4<u32>(row0) + vec4<u32>(0u, 1u, 2u, 3u);
    let row = min(own_rows, vec4<u32>(last_row));
    let token = tokens_of(work, row / ratio);
    let head = kv_head * ratio + row % ratio;
    let q_at = token * (p.q_stride / 4u) + head * vec4s;
    let to = LaneRows(
        own_rows <= vec4<u32>(last_row),
        (token * p.heads + head) * vec4s,
        partials_of(work, kv_head, rows, row),
    );
    let visible = min(
        vec4<u32>(
            visible_slots(work, row.x), visible_slots(work, row.y),
            visible_slots(work, row.z), visible_slots(work, row.w),
        ),
        vec4<u32>(end),
    );
    var row_max = vec4<f32>(MASKED_SCORE);
    var row_sum = vec4<f32>();
    var acc = LaneAcc();
    if continues_partials() {
        row_max = load_row_partials(to.partial_at + HEAD_DIM);
        row_sum = load_row_partials(to.partial_at + HEAD_DIM + 1u);
        acc = LaneAcc(
            load_lane_acc(to.partial_at, lane), load_lane_acc(to.partial_at, lane + 8u),
            load_lane_acc(to.partial_at, lane + 16u), load_lane_acc(to.partial_at, lane + 24u),
        );
    }
    for (var i = 0u; i < vec4s; i += p.one) {
        queries[i] = mat4x4(q[q_at.x + i], q[q_at.y + i], q[q_at.z + i], q[q_at.w + i]) * p.scale;
    }

    for (var first = begin; first < end; first += SLOTS_PER_TILE) {
        let tile = Tile(kv_head, first, end, slot_offset(slots, first), local_index, lane);
        var scores = LaneSlots();
        let previous_max = row_max;
        var own_max = vec4<f32>(MASKED_SCORE);
        for (var k = 0u; k < 4u; k += p.one) {
            let own = lane_scores(tile, first + 8u * k + lane, visible);
            scores = with_lane_slot(scores, k, own);
            own_max = max(own_max, own);
        }
        row_max = max(row_max, subgroupMax(own_max));
        let rescale = exp(previous_max - row_max);
        let weights = LaneSlots(
            weight_of(scores.slot0, row_max), weight_of(scores.slot1, row_max),
            weight_of(scores.slot2, row_max), weight_of(scores.slot3, row_max),
        );
        // As `weigh_tile` adds them up.
        let sum = sum_weights(weights.slot0) + sum_weights(weights.slot1)
            + (sum_weights(weights.slot2) + sum_weights(weights.slot3));
        row_sum = fma(row_sum, rescale, sum);
        acc.acc0 = add_lane_tile(acc.acc0, rescale, tile, lane, weights);
        if HEAD_DIM > 32u {
            acc.acc1 = add_lane_tile(acc.acc1, rescale, tile, lane + 8u, weights);
        }
        if HEAD_DIM > 64u {
            acc.acc2 = add_lane_tile(acc.acc2, rescale, tile, lane + 16u, weights);
        }
        if HEAD_DIM > 96u {
            acc.acc3 = add_lane_tile(acc.acc3, rescale, tile, lane + 24u, weights);
        }
    }

    store_lane_acc(to, lane, acc.acc0, row_sum);
    store_lane_acc(to, lane + 8u, acc.acc1, row_sum);
    store_lane_acc(to, lane + 16u, acc.acc2, row_sum);
    store_lane_acc(to, lane + 24u, acc.acc3, row_sum);
    if p.write_output == 0u && local_index == 0u {
        store_stats(to.is_row.x, to.partial_at.x, row_max.x, row_sum.x);
        store_stats(to.is_row.y, to.partial_at.y, row_max.y, row_sum.y);
        store_stats(to.is_row.z, to.partial_at.z, row_max.z, row_sum.z);
        store_stats(to.is_row.w, to.partial_at.w, row_max.w, row_sum.w);
    }
}
