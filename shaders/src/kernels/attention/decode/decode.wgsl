// One token, for GPUs, whose key and value are in the cache already.
#import kernels/attention/decode/partials.wgsl

// What `put_states` stored at `at` in an earlier launch: the first team of positions has it to
// begin with.
fn stored(at: vec4<u32>, lane: u32) -> State {
    var own = nothing();
    if lane < TEAM {
        own.peak = rows_at(at + HEAD_DIM);
    }
    if lane == 0u {
        own.total = rows_at(at + HEAD_DIM + 1u);
    }
    if lane < EIGHTHS {
        let i = at + 4u * value_quad(lane);
        own.sums = Sums(
            rows_at(i), rows_at(i + 1u), rows_at(i + 2u), rows_at(i + 3u),
            rows_at(i + 4u), rows_at(i + 5u), rows_at(i + 6u), rows_at(i + 7u),
        );
    }
    return own;
}

@compute @workgroup_size(LANES)
fn attention(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
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
    var begun = nothing();
    if p.fresh == 0u {
        begun = stored(states_at(split, kv_head, rows, row0), lane);
        // Others store what is read here.
        storageBarrier();
    }
    workgroupBarrier();
    let whole = attended(begun, ahead, begin, end, kv_head, lane);
    let at = states_at(split, kv_head, rows, row0);
    put_states(at, vec4<u32>(row0) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(rows), whole, lane);
}
