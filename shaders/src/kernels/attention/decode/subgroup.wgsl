// What the invocations of a team of `stream.wgsl` tell each other: by subgroup operations, or
// through workgroup memory.
#ifdef SUBGROUPS
// A team is a subgroup.
fn goes_on(done: u32, len: u32, begin: u32, end: u32) -> bool {
    return begin + done < end;
}

fn largest(v: vec4<f32>, lane: u32) -> vec4<f32> {
    return subgroupMax(v);
}

fn total_of(v: vec4<f32>, lane: u32) -> vec4<f32> {
    return subgroupAdd(v);
}

// What a team's quarters found of four keys, put together: each quarter has one key's.
fn gathered(own: Scores, lane: u32) -> vec4<f32> {
    let upper = (lane & 16u) != 0u;
    let s = select(own.a, own.c, upper) + subgroupShuffleXor(select(own.c, own.a, upper), 16u);
    let t = select(own.b, own.d, upper) + subgroupShuffleXor(select(own.d, own.b, upper), 16u);
    let odd = (lane & 8u) != 0u;
    return select(s, t, odd) + subgroupShuffleXor(select(t, s, odd), 8u);
}

// What the invocation has whose place differs by `mask`.
fn swapped(own: vec4<f32>, mask: u32, lane: u32) -> vec4<f32> {
    return subgroupShuffleXor(own, mask);
}

// Tells a team's other invocations.
fn tell(own: vec4<f32>, lane: u32) {}

fn told(own: vec4<f32>, from_: u32, lane: u32) -> vec4<f32> {
    return subgroupShuffle(own, from_);
}
#else
// Barriers are for all teams.
fn goes_on(done: u32, len: u32, begin: u32, end: u32) -> bool {
    return done < len;
}

// The sum of a team's values, or the largest.
fn folded(v: vec4<f32>, lane: u32, add: bool) -> vec4<f32> {
    let own = TOLD + lane;
    workgroupBarrier();
    memory_[own] = v;
    for (var half = TEAM / 2u; half > 0u; half >>= 1u) {
        workgroupBarrier();
        if lane % TEAM < half {
            let a = memory_[own];
            let b = memory_[own + half];
            memory_[own] = select(max(a, b), a + b, add);
        }
    }
    workgroupBarrier();
    return memory_[TOLD + lane / TEAM * TEAM];
}

fn largest(v: vec4<f32>, lane: u32) -> vec4<f32> {
    return folded(v, lane, false);
}

fn total_of(v: vec4<f32>, lane: u32) -> vec4<f32> {
    return folded(v, lane, true);
}

// What a team's quarters found of two keys, put together: the first's, or the second's.
fn gathered_two(a: vec4<f32>, b: vec4<f32>, second: bool, lane: u32) -> vec4<f32> {
    workgroupBarrier();
    memory_[TOLD + lane] = a;
    memory_[TOLD + LANES + lane] = b;
    workgroupBarrier();
    let at = TOLD + select(0u, LANES, second) + lane / TEAM * TEAM + lane % 8u;
    return (memory_[at] + memory_[at + 8u]) + (memory_[at + 16u] + memory_[at + 24u]);
}

// The same of four keys: each quarter has one key's.
fn gathered(own: Scores, lane: u32) -> vec4<f32> {
    let odd = (lane & 8u) != 0u;
    let s = gathered_two(own.a, own.b, odd, lane);
    let t = gathered_two(own.c, own.d, odd, lane);
    return select(s, t, (lane & 16u) != 0u);
}

// What the invocation has whose place differs by `mask`.
fn swapped(own: vec4<f32>, mask: u32, lane: u32) -> vec4<f32> {
    tell(own, lane);
    return memory_[TOLD + (lane ^ mask)];
}

// Tells a team's other invocations.
fn tell(own: vec4<f32>, lane: u32) {
    workgroupBarrier();
    memory_[TOLD + lane] = own;
    workgroupBarrier();
}

fn told(own: vec4<f32>, from_: u32, lane: u32) -> vec4<f32> {
    return memory_[TOLD + lane / TEAM * TEAM + from_];
}
#endif
