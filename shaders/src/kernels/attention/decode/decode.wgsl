// Decode: attention of one token on GPUs, whose key and value are in the cache already
// (flash-decoding, Dao et al. 2023).
//
// A workgroup takes up to four rows, the components of vec4s, and one KV split. Its eight subgroups
// of 32 invocations each take a contiguous part of the split and keep partials of their own until
// the end (`attend.wgsl`), where `combine.wgsl` combines them. Workgroup memory has the queries and
// what subgroups exchange (`scratch.wgsl`). Variant `decode_subgroup32` uses subgroup operations;
// `decode` does the same through workgroup memory (`subgroup.wgsl`).
#import kernels/attention/decode/partials.wgsl

// This invocation's part of the partials that `store_partials` stored at `at` in an earlier
// dispatch. The first subgroup of slots continues from them.
fn load_partials(at: vec4<u32>, local_index: u32) -> LanePartial {
    var loaded = identity();
    if local_index < SUBGROUP_SIZE {
        loaded.row_max = load_row_partials(at + HEAD_DIM);
    }
    if local_index == 0u {
        loaded.row_sum = load_row_partials(at + HEAD_DIM + 1u);
    }
    if local_index < LANES_PER_VALUE {
        let i = at + 4u * lane_vec4(local_index);
        loaded.acc = Acc8(
            load_row_partials(i), load_row_partials(i + 1u),
            load_row_partials(i + 2u), load_row_partials(i + 3u),
            load_row_partials(i + 4u), load_row_partials(i + 5u),
            load_row_partials(i + 6u), load_row_partials(i + 7u),
        );
    }
    return loaded;
}

@compute @workgroup_size(WORKGROUP_SIZE)
#ifdef PAGED
fn attention_paged(
#else
fn attention(
#endif
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
) {
    let work = work_of(group);
#ifdef PAGED
    let ratio = p.heads / p.kv_heads;
    let rows = rows_of(work);
#else
    let rows = p.heads / p.kv_heads;
#endif
    let row0 = first_row_of(group, ROWS_PER_WORKGROUP);
    let kv_head = group.y;
    if row0 >= rows || !has_work(group, work) {
        return;
    }
#ifdef PAGED
    var slots = work_slots(work, min(row0 + ROWS_PER_WORKGROUP, rows) - 1u);
    slots.row_ends = min(
        slots.row_ends,
        vec4<u32>(
            visible_slots(work, row0), visible_slots(work, row0 + 1u),
            visible_slots(work, row0 + 2u), visible_slots(work, row0 + 3u),
        ),
    );
#else
    let slots = work_slots(work, 0u);
#endif
    if slots.begin >= slots.end && continues_partials() {
        return;
    }
    let prefetched = prefetch_first(slots, kv_head, local_index);

    let vec4s = HEAD_DIM / 4u;
    for (var i = local_index; i < ROWS_PER_WORKGROUP * vec4s; i += WORKGROUP_SIZE) {
        let row = min(row0 + i % ROWS_PER_WORKGROUP, rows - 1u);
#ifdef PAGED
        let token = tokens_of(work, vec4<u32>(row / ratio)).x;
        let query = token * (p.q_stride / 4u) + (kv_head * ratio + row % ratio) * vec4s;
#else
        let query = (kv_head * rows + row) * vec4s;
#endif
        store_query(
            i % ROWS_PER_WORKGROUP,
            i / ROWS_PER_WORKGROUP,
            q[query + i / ROWS_PER_WORKGROUP] * p.scale,
        );
    }
    var initial = identity();
    let row = vec4<u32>(row0) + vec4<u32>(0u, 1u, 2u, 3u);
    let at = partials_of(work, kv_head, rows, min(row, vec4<u32>(rows - 1u)));
    if continues_partials() {
        initial = load_partials(at, local_index);
        // Other invocations store to what this one has read.
        storageBarrier();
    }
    workgroupBarrier();
    let result = attend(initial, prefetched, slots, kv_head, local_index);
    store_partials(at, row < vec4<u32>(rows), result, local_index);
}
