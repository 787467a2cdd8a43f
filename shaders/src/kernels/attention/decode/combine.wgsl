// What the teams of `stream.wgsl` know, put together.

// The float of a head that invocation `lane`, below HEAD_DIM, has in the end.
fn float_of(lane: u32) -> u32 {
    return lane % EIGHTHS * 8u + lane / EIGHTHS;
}

// What all teams know. Loops that step by `one` stay loops: what is executed once is bound by its
// own coming.
fn put_together(state: State, lane: u32) -> Whole {
    let part = total_of(state.total, lane);
    let team = lane / TEAM;
    workgroupBarrier();
    if lane % TEAM == 0u {
        memory_[team] = state.peak;
        memory_[TEAMS + team] = part;
    }
    workgroupBarrier();
    var peak = vec4<f32>(NEVER);
    for (var i = 0u; i < TEAMS; i += p.one) {
        peak = max(peak, memory_[i]);
    }
    var total = vec4<f32>();
    for (var i = 0u; i < TEAMS; i += p.one) {
        total = fma(memory_[TEAMS + i], exp(memory_[i] - peak), total);
    }
    var s = times(state.sums, exp(state.peak - peak));
    // Floats `i` of all eighths lie together. One turn after the other adds what it has.
    let own = team * HEAD_DIM + lane % TEAM % EIGHTHS;
    for (var turn = 0u; turn < VALUES; turn++) {
        workgroupBarrier();
        if lane % TEAM / EIGHTHS == turn {
            if turn > 0u {
                s = Sums(
                    s.a + memory_[own], s.b + memory_[own + EIGHTHS], s.c + memory_[own + 2u * EIGHTHS], s.d + memory_[own + 3u * EIGHTHS],
                    s.e + memory_[own + 4u * EIGHTHS], s.f + memory_[own + 5u * EIGHTHS], s.g + memory_[own + 6u * EIGHTHS], s.h + memory_[own + 7u * EIGHTHS],
                );
            }
            memory_[own] = s.a;
            memory_[own + EIGHTHS] = s.b;
            memory_[own + 2u * EIGHTHS] = s.c;
            memory_[own + 3u * EIGHTHS] = s.d;
            memory_[own + 4u * EIGHTHS] = s.e;
            memory_[own + 5u * EIGHTHS] = s.f;
            memory_[own + 6u * EIGHTHS] = s.g;
            memory_[own + 7u * EIGHTHS] = s.h;
        }
    }
    workgroupBarrier();
    var sum = vec4<f32>();
    if lane < HEAD_DIM {
        for (var i = 0u; i < TEAMS; i += p.one) {
            sum += memory_[i * HEAD_DIM + lane];
        }
    }
    return Whole(sum, peak, total);
}
