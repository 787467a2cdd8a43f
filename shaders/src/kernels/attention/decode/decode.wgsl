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
fn attention(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
) {
    let rows = p.heads / p.kv_heads;
    let row0 = group.x * ROWS_PER_WORKGROUP;
    let kv_head = group.y;
    let split = group.z;
    if row0 >= rows || split >= splits_in_use(p.splits) {
        return;
    }
    let slots = split_slots(split, 0u);
    let begin = slots.begin;
    let end = slots.end;
    if begin >= end && p.is_first_segment == 0u {
        return;
    }
    let prefetched = prefetch_first(begin, end, kv_head, local_index);

    let vec4s = HEAD_DIM / 4u;
    for (var i = local_index; i < ROWS_PER_WORKGROUP * vec4s; i += WORKGROUP_SIZE) {
        let head = kv_head * rows + min(row0 + i % ROWS_PER_WORKGROUP, rows - 1u);
        store_query(
            i % ROWS_PER_WORKGROUP,
            i / ROWS_PER_WORKGROUP,
            q[head * vec4s + i / ROWS_PER_WORKGROUP] * p.scale,
        );
    }
    var initial = identity();
    if p.is_first_segment == 0u {
        initial = load_partials(partial_indices(split, kv_head, rows, row0), local_index);
        // Other invocations store to what this one has read.
        storageBarrier();
    }
    workgroupBarrier();
    let result = attend(initial, prefetched, begin, end, kv_head, local_index);
    let at = partial_indices(split, kv_head, rows, row0);
    let is_row = vec4<u32>(row0) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(rows);
    store_partials(at, is_row, result, local_index);
}
