// What the invocations of a team of `decode.wgsl` tell each other: by subgroup operations, or through workgroup memory.
#ifdef SUBGROUPS
// A team is a subgroup.
fn largest(v: vec4<f32>, lane: u32) -> vec4<f32> {
    return subgroupMax(v);
}

fn total_of(v: vec4<f32>, lane: u32) -> vec4<f32> {
    return subgroupAdd(v);
}

// What a team's quarters found of four keys, put together: each quarter has one key's.
fn gathered(a: Two, b: Two, lane: u32) -> vec4<f32> {
    let upper = (lane & 16u) != 0u;
    let s = select(a.a, b.a, upper) + subgroupShuffleXor(select(b.a, a.a, upper), 16u);
    let t = select(a.b, b.b, upper) + subgroupShuffleXor(select(b.b, a.b, upper), 16u);
    let odd = (lane & 8u) != 0u;
    return select(s, t, odd) + subgroupShuffleXor(select(t, s, odd), 8u);
}

// Tells a team's other invocations.
fn tell(own: vec4<f32>, lane: u32) {}

fn told(own: vec4<f32>, from_: u32, lane: u32) -> vec4<f32> {
    return subgroupShuffle(own, from_);
}
#else
// The sum of a team's values, or the largest.
fn folded(v: vec4<f32>, lane: u32, add: bool) -> vec4<f32> {
    let own = HEAD_DIM + lane;
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
    return memory_[HEAD_DIM + lane / TEAM * TEAM];
}

fn largest(v: vec4<f32>, lane: u32) -> vec4<f32> {
    return folded(v, lane, false);
}

fn total_of(v: vec4<f32>, lane: u32) -> vec4<f32> {
    return folded(v, lane, true);
}

// What a team's quarters found of two keys, put together.
fn gathered_two(s: Two, lane: u32, second: bool) -> vec4<f32> {
    workgroupBarrier();
    memory_[HEAD_DIM + lane] = s.a;
    memory_[HEAD_DIM + LANES + lane] = s.b;
    workgroupBarrier();
    let at = HEAD_DIM + select(0u, LANES, second) + lane / TEAM * TEAM + lane % 8u;
    return (memory_[at] + memory_[at + 8u]) + (memory_[at + 16u] + memory_[at + 24u]);
}

// The same of four keys: each quarter has one key's.
fn gathered(a: Two, b: Two, lane: u32) -> vec4<f32> {
    let odd = (lane & 8u) != 0u;
    let s = gathered_two(a, lane, odd);
    let t = gathered_two(b, lane, odd);
    return select(s, t, (lane & 16u) != 0u);
}

// Tells a team's other invocations.
fn tell(own: vec4<f32>, lane: u32) {
    workgroupBarrier();
    memory_[HEAD_DIM + lane] = own;
    workgroupBarrier();
}

fn told(own: vec4<f32>, from_: u32, lane: u32) -> vec4<f32> {
    return memory_[HEAD_DIM + lane / TEAM * TEAM + from_];
}
#endif
