// One token, for GPUs, whose key and value are in the cache already.
#import attend_states

@compute @workgroup_size(LANES)
fn attend(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let rows = p.heads / p.kv_heads;
    let row0 = group.x * ROWS;
    let kv_head = group.y;
    let split = group.z;
    if row0 >= rows || split >= splits_in_use(p.splits) {
        return;
    }
    let slots = slots_of(split, 0u);
    let begin = slots.begin;
    let end = slots.end;
    if begin >= end && p.fresh == 0u {
        return;
    }
    let ahead = start(begin, end, kv_head, lane);

    let quads = HEAD_DIM / 4u;
    for (var i = lane; i < ROWS * quads; i += LANES) {
        let head = kv_head * rows + min(row0 + i % ROWS, rows - 1u);
        put_query(i % ROWS, i / ROWS, q[head * quads + i / ROWS] * p.scale);
    }
    workgroupBarrier();
    var whole = attended(ahead, begin, end, kv_head, lane);
    let at = states_at(split, kv_head, rows, row0);
    if p.fresh == 0u {
        let sum = rows_at(at + float_of(min(lane, HEAD_DIM - 1u)));
        whole = united(Whole(sum, rows_at(at + HEAD_DIM), rows_at(at + HEAD_DIM + 1u)), whole);
        // Invocation 0 stores what all read.
        storageBarrier();
        workgroupBarrier();
    }
    put_states(at, vec4<u32>(row0) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(rows), whole, lane);
}
