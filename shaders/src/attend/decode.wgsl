// One token, for GPUs, whose key and value are in the cache already.
#import attend_stream

fn rows_at(at: vec4<u32>) -> vec4<f32> {
    return vec4<f32>(states[at.x], states[at.y], states[at.z], states[at.w]);
}

@compute @workgroup_size(LANES)
fn attend(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let rows = p.heads / p.kv_heads;
    let row0 = group.x * ROWS;
    let kv_head = group.y;
    let split = group.z;
    if row0 >= rows || split >= splits_in_use(p.splits) {
        return;
    }
    let length = min(seen_by(0u), p.len);
    let share = share_of(length, p.splits);
    let begin = min(split * share, length);
    let end = min(begin + share, length);
    if begin >= end && p.fresh == 0u {
        return;
    }
    let ahead = start(begin, end, kv_head, lane);

    let quads = HEAD_DIM / 4u;
    for (var i = lane; i < ROWS * quads; i += LANES) {
        let head = kv_head * rows + min(row0 + i % ROWS, rows - 1u);
        memory_[query_at(i / ROWS) + i % ROWS] = q[head * quads + i / ROWS] * p.scale;
    }
    let at = states_at(split, kv_head, rows, row0);
    var state = State(Sums(), vec4<f32>(NEVER), vec4<f32>());
    if p.fresh == 0u && lane < EIGHTHS {
        let own = at + vec4<u32>(8u * lane);
        state.sums = Sums(
            rows_at(own), rows_at(own + 1u), rows_at(own + 2u), rows_at(own + 3u),
            rows_at(own + 4u), rows_at(own + 5u), rows_at(own + 6u), rows_at(own + 7u),
        );
    }
    if p.fresh == 0u && lane < TEAM {
        state.peak = rows_at(at + HEAD_DIM);
        state.total = select(vec4<f32>(), rows_at(at + HEAD_DIM + 1u), lane == 0u);
    }
    workgroupBarrier();
    let whole = put_together(seen(state, ahead, begin, end, kv_head, lane), lane);
    put_states(at, vec4<u32>(row0) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(rows), whole, lane);
}
