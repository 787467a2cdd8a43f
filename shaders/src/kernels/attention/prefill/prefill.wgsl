// Prefill: attention of many tokens on GPUs, by FlashAttention's tiles (Dao et al. 2022).
//
// 256 invocations form four row groups of 64. A row group has four rows, the components of vec4s.
// For each tile of 128 slots, each of its invocations scores two keys; then it accumulates one vec4
// of every `slot_stride`-th value. Workgroup memory has the queries of all rows and the weights of
// the tile.
const ROW_GROUPS = 4u;
const WORKGROUP_SIZE = 256u;
const ROW_GROUP_SIZE = WORKGROUP_SIZE / ROW_GROUPS; // invocations of a row group
const SLOTS_PER_TILE = 2u * ROW_GROUP_SIZE;
const ROWS_PER_WORKGROUP = 4u * ROW_GROUPS;

// [vec4, row]
var<workgroup> queries: array<vec4<f32>, ROWS_PER_WORKGROUP * 32u>;
// [row group, slot]; in between, what invocations exchange.
var<workgroup> weights: array<vec4<f32>, ROW_GROUPS * SLOTS_PER_TILE>;

#import kernels/attention/prefill/row_group.wgsl

@compute @workgroup_size(WORKGROUP_SIZE)
#ifdef PAGED
fn attention_paged(
#else
fn attention(
#endif
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
) {
    let ratio = p.heads / p.kv_heads;
    let work = work_of(group);
    let rows = rows_of(work);
    let row0 = first_row_of(group, ROWS_PER_WORKGROUP);
    let kv_head = group.y;
    if row0 >= rows || !has_work(group, work) {
        return;
    }
    let row_group = local_index / ROW_GROUP_SIZE;
    let index = local_index % ROW_GROUP_SIZE;
    let last_row = min(row0 + ROWS_PER_WORKGROUP, rows) - 1u;
    let slots = work_slots(work, last_row);
    let begin = slots.begin;
    let end = slots.end;
    if begin >= end && continues_partials() {
        return;
    }

    let vec4s = HEAD_DIM / 4u;
    for (var i = local_index; i < ROWS_PER_WORKGROUP * vec4s; i += WORKGROUP_SIZE) {
        let row = min(row0 + i % ROWS_PER_WORKGROUP, last_row);
        let head = kv_head * ratio + row % ratio;
        let token = tokens_of(work, vec4<u32>(row / ratio)).x;
        queries[i] = q[
            token * (p.q_stride / 4u) + head * vec4s + i / ROWS_PER_WORKGROUP
        ] * p.scale;
    }

    let row = vec4<u32>(row0 + 4u * row_group) + vec4<u32>(0u, 1u, 2u, 3u);
    let is_row = row < vec4<u32>(rows);
    let visible = vec4<u32>(
        visible_slots(work, row.x), visible_slots(work, row.y),
        visible_slots(work, row.z), visible_slots(work, row.w),
    );
    let at = partials_of(work, kv_head, rows, min(row, vec4<u32>(last_row)));
    let vec4_index = index % vec4s;
    let first_slot = index / vec4s;
    let slot_stride = ROW_GROUP_SIZE / vec4s;
    let slot_words = p.kv_heads * p.v_words;
    var acc0 = vec4<f32>();
    var acc1 = vec4<f32>();
    var acc2 = vec4<f32>();
    var acc3 = vec4<f32>();
    var row_max = vec4<f32>(MASKED_SCORE);
    var row_sum = vec4<f32>(); // over this invocation's slots
    if continues_partials() {
        row_max = load_row_partials(at + HEAD_DIM);
        if index == 0u {
            row_sum = load_row_partials(at + HEAD_DIM + 1u);
        }
        if first_slot == 0u {
            acc0 = load_partial4(at.x + vec4_index * 4u);
            acc1 = load_partial4(at.y + vec4_index * 4u);
            acc2 = load_partial4(at.z + vec4_index * 4u);
            acc3 = load_partial4(at.w + vec4_index * 4u);
        }
    }

    for (var first = begin; first < end; first += SLOTS_PER_TILE) {
        // Waits until the queries are stored, and the previous weights read.
        workgroupBarrier();
        let slot = first + index;
        // Over a paged cache, the tile is two pages.
        let offset0 = slot_offset(slots, first);
        let offset1 = slot_offset(slots, min(first + ROW_GROUP_SIZE, end - 1u));
        let scores = score_keys(
            row_group,
            key_base(kv_head, min(slot, end - 1u) + offset0),
            key_base(kv_head, min(slot + ROW_GROUP_SIZE, end - 1u) + offset1),
        );
        let limit = min(visible, vec4<u32>(end));
        let score0 = select(vec4<f32>(MASKED_SCORE), scores.key0, vec4<u32>(slot) < limit);
        let score1 = select(
            vec4<f32>(MASKED_SCORE), scores.key1, vec4<u32>(slot + ROW_GROUP_SIZE) < limit,
        );
        let previous_max = row_max;
        row_max = max(row_max, row_group_max(max(score0, score1), local_index));
        // A masked slot has no weight, also where all slots so far are masked.
        let weight0 = select(vec4<f32>(), exp(score0 - row_max), score0 > vec4<f32>(MASKED_SCORE));
        let weight1 = select(vec4<f32>(), exp(score1 - row_max), score1 > vec4<f32>(MASKED_SCORE));
        let first_weight = row_group * SLOTS_PER_TILE;
        weights[first_weight + index] = weight0;
        weights[first_weight + index + ROW_GROUP_SIZE] = weight1;
        let rescale = exp(previous_max - row_max);
        row_sum = fma(row_sum, rescale, weight0 + weight1);
        acc0 *= rescale.x;
        acc1 *= rescale.y;
        acc2 *= rescale.z;
        acc3 *= rescale.w;
        workgroupBarrier();
        if first_slot < slot_stride {
            let count = min(SLOTS_PER_TILE, end - first);
#ifdef PAGED
#else
            let last = value_base(kv_head, first + count - 1u);
            var base = value_base(kv_head, first + first_slot);
#endif
            // Four loads are in flight together.
            for (var i = first_slot; i < count; i += 4u * slot_stride) {
#ifdef PAGED
                let in_tile = min(
                    vec4<u32>(i) + slot_stride * vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(count - 1u),
                );
                let offset = select(
                    vec4<u32>(offset0), vec4<u32>(offset1), in_tile >= vec4<u32>(ROW_GROUP_SIZE),
                );
                let bases = (first + in_tile + offset) * slot_words + kv_head * p.v_words;
                let v0 = load_value(bases.x, vec4_index);
                let v1 = load_value(bases.y, vec4_index);
                let v2 = load_value(bases.z, vec4_index);
                let v3 = load_value(bases.w, vec4_index);
#else
                let v0 = load_value(base, vec4_index);
                let v1 = load_value(min(base + slot_stride * slot_words, last), vec4_index);
                let v2 = load_value(min(base + 2u * slot_stride * slot_words, last), vec4_index);
                let v3 = load_value(min(base + 3u * slot_stride * slot_words, last), vec4_index);
                base += 4u * slot_stride * slot_words;
#endif
                let w0 = weights[first_weight + i];
                let w1 = load_weight(first_weight, i + slot_stride);
                let w2 = load_weight(first_weight, i + 2u * slot_stride);
                let w3 = load_weight(first_weight, i + 3u * slot_stride);
                acc0 = fma(
                    vec4<f32>(w3.x), v3,
                    fma(
                        vec4<f32>(w2.x), v2,
                        fma(vec4<f32>(w1.x), v1, fma(vec4<f32>(w0.x), v0, acc0)),
                    ),
                );
                acc1 = fma(
                    vec4<f32>(w3.y), v3,
                    fma(
                        vec4<f32>(w2.y), v2,
                        fma(vec4<f32>(w1.y), v1, fma(vec4<f32>(w0.y), v0, acc1)),
                    ),
                );
                acc2 = fma(
                    vec4<f32>(w3.z), v3,
                    fma(
                        vec4<f32>(w2.z), v2,
                        fma(vec4<f32>(w1.z), v1, fma(vec4<f32>(w0.z), v0, acc2)),
                    ),
                );
                acc3 = fma(
                    vec4<f32>(w3.w), v3,
                    fma(
                        vec4<f32>(w2.w), v2,
                        fma(vec4<f32>(w1.w), v1, fma(vec4<f32>(w0.w), v0, acc3)),
                    ),
                );
            }
        }
    }

    workgroupBarrier();
    store_acc(acc0, local_index, vec4s, at.x, is_row.x);
    store_acc(acc1, local_index, vec4s, at.y, is_row.y);
    store_acc(acc2, local_index, vec4s, at.z, is_row.z);
    store_acc(acc3, local_index, vec4s, at.w, is_row.w);
    let sum = row_group_sum(row_sum, local_index);
    if index < 4u && is_row[index] {
        partials[at[index] + HEAD_DIM] = row_max[index];
        partials[at[index] + HEAD_DIM + 1u] = sum[index];
    }
}
