// How a workgroup of decode goes through its slots.
//
// A subgroup looks at 32 slots per iteration. To score keys, each lane takes a quarter of the
// floats of four keys; a transposing reduction then leaves each lane the score of one slot. To
// accumulate values, LANES_PER_VALUE lanes take eight floats each, so the subgroup covers
// VALUES_PER_ROUND values at once.
//
// With PREFETCH, the next keys and values are always loading. That takes up to twice the registers,
// which NVIDIA's GPUs have, where it was measured. Intel's don't, and AMD's then run half as many
// subgroups.
const SUBGROUP_SIZE = 32u;
const SUBGROUP_COUNT = 8u;
const WORKGROUP_SIZE = SUBGROUP_SIZE * SUBGROUP_COUNT;

override QUARTER_VEC4S: u32 = HEAD_DIM / 16u;  // vec4s of a quarter of a key
override LANES_PER_VALUE: u32 = HEAD_DIM / 8u; // each has eight floats
override VALUES_PER_ROUND: u32 = SUBGROUP_SIZE / LANES_PER_VALUE;

#import kernels/attention/decode/scratch.wgsl
#import kernels/attention/decode/subgroup.wgsl

#import kernels/attention/decode/subgroup_slots.wgsl

#import kernels/attention/decode/keys.wgsl
#import kernels/attention/decode/values.wgsl

// Words that are loaded before they are needed: the next words of keys, and the next values.
struct Prefetch { keys: KeyWords, values: ValueWords }

// The lane that has the score of slot `i` of the subgroup's 32.
fn score_lane(i: u32) -> u32 {
    return i % 4u * 8u + i / 4u;
}

// The base of this lane's four keys in the iteration that begins with slot `first`. `offset` is
// the tile's `slot_offset`.
fn lane_keys_base(first: u32, last: u32, offset: u32, kv_head: u32, local_index: u32) -> u32 {
    return keys_base(kv_head, min(first + 4u * (local_index % 8u), last) + offset);
}

// Issues the loads of the workgroup's first keys and values.
fn prefetch_first(slots: Slots, kv_head: u32, local_index: u32) -> Prefetch {
#ifdef PREFETCH
    let first = subgroup_begin(slots, local_index);
    let last = max(slots.end, 1u) - 1u;
    let offset = slot_offset(slots, min(first, last));
    return Prefetch(
        load_keys(
            lane_keys_base(first, last, offset, kv_head, local_index),
            local_index % SUBGROUP_SIZE / 8u * QUARTER_VEC4S,
            0u,
        ),
        load_values(
            values_base(first, last_of_tile(first, last), offset, kv_head, local_index),
            local_index,
        ),
    );
#else
    return Prefetch();
#endif
}

// The identity element of the softmax state.
fn identity() -> LanePartial {
    return LanePartial(Acc8(), vec4<f32>(MASKED_SCORE), vec4<f32>());
}

// This lane's part of its subgroup's partials after the subgroup's slots.
fn attend_subgroup(
    initial: LanePartial, prefetched: Prefetch, slots: Slots, kv_head: u32, local_index: u32,
) -> LanePartial {
    let len = subgroup_len(slots);
    let subgroup_first = subgroup_begin(slots, local_index);
    let end = subgroup_end(slots, local_index);
    let last = max(slots.end, 1u) - 1u;
    let quarter = local_index % SUBGROUP_SIZE / 8u * QUARTER_VEC4S;
    var acc = initial.acc;
    var row_max = initial.row_max;
    var row_sum = initial.row_sum;
    var keys = prefetched.keys;
    var values = prefetched.values;
    var offset = slot_offset(slots, min(subgroup_first, last));
    for (var done = 0u; has_slots(done, len, subgroup_first, end); done += SLOT_STRIDE) {
        let first = subgroup_first + done;
        let next_offset = slot_offset(slots, min(first + SLOT_STRIDE, last));
        let tile_last = last_of_tile(first, last);
        let base = lane_keys_base(first, last, offset, kv_head, local_index);
        let scale = load_key_scales(base, quarter);
        var lane_scores = Scores4();
        for (var n = 0u; n < QUARTER_VEC4S; n += K_PER_WORD) {
#ifdef PREFETCH
            let words = keys;
            let is_last = n + K_PER_WORD >= QUARTER_VEC4S;
            let next = select(
                base,
                lane_keys_base(first + SLOT_STRIDE, last, next_offset, kv_head, local_index),
                is_last,
            );
            keys = load_keys(next, quarter, select(n + K_PER_WORD, 0u, is_last));
#else
            let words = load_keys(base, quarter, n);
#endif
            lane_scores = add_key_words(lane_scores, base, quarter, n, words);
        }
        lane_scores = Scores4(
            lane_scores.key0 * scale.x, lane_scores.key1 * scale.y,
            lane_scores.key2 * scale.z, lane_scores.key3 * scale.w,
        );

        let slot = first + local_index % 8u * 4u + local_index % SUBGROUP_SIZE / 8u;
#ifdef PAGED
        let is_visible = vec4<u32>(slot) < slots.row_ends;
#else
        let is_visible = slot < end;
#endif
        let scores = select(
            vec4<f32>(MASKED_SCORE), reduce_scores(lane_scores, local_index), is_visible,
        );
        let previous_max = row_max;
        row_max = max(row_max, subgroup_max(scores, local_index));
        let weight = select(vec4<f32>(), exp(scores - row_max), is_visible);
        let rescale = exp(previous_max - row_max);
        row_sum = fma(row_sum, rescale, weight);
        acc = scale_acc(acc, rescale);
        publish(weight, local_index);
        // Slots beyond the subgroup's end have no weight. Those beyond the 32 belong to the next
        // iteration.
        let lane_value = local_index % SUBGROUP_SIZE / LANES_PER_VALUE;
        let count = min(end - min(first, end), SUBGROUP_SIZE);
        for (var j = 0u; j < count; j += 4u * VALUES_PER_ROUND) {
            let at = values_base(first + j, tile_last, offset, kv_head, local_index);
#ifdef PREFETCH
            let v = values;
            let next_j = j + 4u * VALUES_PER_ROUND;
#ifdef PAGED
            let is_last = next_j >= SUBGROUP_SIZE;
            let next = first + select(next_j, SLOT_STRIDE, is_last);
            values = load_values(
                values_base(
                    next, last_of_tile(next, last), select(offset, next_offset, is_last),
                    kv_head, local_index,
                ),
                local_index,
            );
#else
            values = load_values(
                values_base(
                    first + min(next_j, SUBGROUP_SIZE), last, offset, kv_head, local_index,
                ),
                local_index,
            );
#endif
#else
            let v = load_values(at, local_index);
#endif
            let i = vec4<u32>(j + lane_value)
                + vec4<u32>(0u, VALUES_PER_ROUND, 2u * VALUES_PER_ROUND, 3u * VALUES_PER_ROUND);
            let source = min(i, vec4<u32>(SUBGROUP_SIZE - 1u));
            let is_inside = select(
                vec4<f32>(i < vec4<u32>(SUBGROUP_SIZE)),
                vec4<f32>(1.0),
                SUBGROUP_SIZE % (4u * VALUES_PER_ROUND) == 0u,
            );
            acc = add_value(
                acc, shuffle(weight, score_lane(source.x), local_index) * is_inside.x,
                at.x, local_index, v.value0, v.scales.x,
            );
            acc = add_value(
                acc, shuffle(weight, score_lane(source.y), local_index) * is_inside.y,
                at.y, local_index, v.value1, v.scales.y,
            );
            acc = add_value(
                acc, shuffle(weight, score_lane(source.z), local_index) * is_inside.z,
                at.z, local_index, v.value2, v.scales.z,
            );
            acc = add_value(
                acc, shuffle(weight, score_lane(source.w), local_index) * is_inside.w,
                at.w, local_index, v.value3, v.scales.w,
            );
        }
        offset = next_offset;
    }
    return LanePartial(acc, row_max, row_sum);
}

#import kernels/attention/decode/combine.wgsl

// The partials of the rows after the workgroup's slots, on top of `initial`. `prefetched` is what
// `prefetch_first` loaded. The queries have been stored, and a barrier has followed.
fn attend(
    initial: LanePartial, prefetched: Prefetch, slots: Slots, kv_head: u32, local_index: u32,
) -> Partial {
    let state = attend_subgroup(initial, prefetched, slots, kv_head, local_index);
    return combine_subgroups(state, local_index);
}
