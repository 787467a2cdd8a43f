// Exchange among the 32 invocations of a subgroup: by subgroup operations, or, where the device has
// no subgroups of 32, through workgroup memory. Then "subgroup" means 32 adjacent invocations.
#ifdef SUBGROUPS
// Whether the subgroup has slots left, after `done` of its `len`.
fn has_slots(done: u32, len: u32, begin: u32, end: u32) -> bool {
    return begin + done < end;
}

fn subgroup_max(v: vec4<f32>, local_index: u32) -> vec4<f32> {
    return subgroupMax(v);
}

fn subgroup_sum(v: vec4<f32>, local_index: u32) -> vec4<f32> {
    return subgroupAdd(v);
}

// The sums over the four quarters of each key. Every lane gets one key's: those of quarter `i` get
// that of key `i`.
fn reduce_scores(scores: Scores4, local_index: u32) -> vec4<f32> {
    let upper = (local_index & 16u) != 0u;
    let s = select(scores.key0, scores.key2, upper)
        + subgroupShuffleXor(select(scores.key2, scores.key0, upper), 16u);
    let t = select(scores.key1, scores.key3, upper)
        + subgroupShuffleXor(select(scores.key3, scores.key1, upper), 16u);
    let odd = (local_index & 8u) != 0u;
    return select(s, t, odd) + subgroupShuffleXor(select(t, s, odd), 8u);
}

// The value of the lane whose index differs by `mask`.
fn shuffle_xor(v: vec4<f32>, mask: u32, local_index: u32) -> vec4<f32> {
    return subgroupShuffleXor(v, mask);
}

// Makes `v` available to `shuffle`.
fn publish(v: vec4<f32>, local_index: u32) {}

// The value that lane `source` published.
fn shuffle(v: vec4<f32>, source: u32, local_index: u32) -> vec4<f32> {
    return subgroupShuffle(v, source);
}
#else
// Whether any subgroup has slots left, after `done` of its `len`: all take part in each barrier.
fn has_slots(done: u32, len: u32, begin: u32, end: u32) -> bool {
    return done < len;
}

// The sum of the subgroup's values, or the largest.
fn reduce(v: vec4<f32>, local_index: u32, add: bool) -> vec4<f32> {
    let at = EXCHANGE + local_index;
    workgroupBarrier();
    scratch[at] = v;
    for (var half = SUBGROUP_SIZE / 2u; half > 0u; half >>= 1u) {
        workgroupBarrier();
        if local_index % SUBGROUP_SIZE < half {
            let a = scratch[at];
            let b = scratch[at + half];
            scratch[at] = select(max(a, b), a + b, add);
        }
    }
    workgroupBarrier();
    return scratch[EXCHANGE + local_index / SUBGROUP_SIZE * SUBGROUP_SIZE];
}

fn subgroup_max(v: vec4<f32>, local_index: u32) -> vec4<f32> {
    return reduce(v, local_index, false);
}

fn subgroup_sum(v: vec4<f32>, local_index: u32) -> vec4<f32> {
    return reduce(v, local_index, true);
}

// The sum over the four quarters of the first key, or of the second.
fn reduce_two_scores(
    first: vec4<f32>, second: vec4<f32>, is_second: bool, local_index: u32,
) -> vec4<f32> {
    workgroupBarrier();
    scratch[EXCHANGE + local_index] = first;
    scratch[EXCHANGE + WORKGROUP_SIZE + local_index] = second;
    workgroupBarrier();
    let at = EXCHANGE + select(0u, WORKGROUP_SIZE, is_second)
        + local_index / SUBGROUP_SIZE * SUBGROUP_SIZE + local_index % 8u;
    return (scratch[at] + scratch[at + 8u]) + (scratch[at + 16u] + scratch[at + 24u]);
}

// The sums over the four quarters of each key. Every lane gets one key's: those of quarter `i` get
// that of key `i`.
fn reduce_scores(scores: Scores4, local_index: u32) -> vec4<f32> {
    let odd = (local_index & 8u) != 0u;
    let s = reduce_two_scores(scores.key0, scores.key1, odd, local_index);
    let t = reduce_two_scores(scores.key2, scores.key3, odd, local_index);
    return select(s, t, (local_index & 16u) != 0u);
}

// The value of the lane whose index differs by `mask`.
fn shuffle_xor(v: vec4<f32>, mask: u32, local_index: u32) -> vec4<f32> {
    publish(v, local_index);
    return scratch[EXCHANGE + (local_index ^ mask)];
}

// Makes `v` available to `shuffle`.
fn publish(v: vec4<f32>, local_index: u32) {
    workgroupBarrier();
    scratch[EXCHANGE + local_index] = v;
    workgroupBarrier();
}

// The value that lane `source` published.
fn shuffle(v: vec4<f32>, source: u32, local_index: u32) -> vec4<f32> {
    return scratch[EXCHANGE + local_index / SUBGROUP_SIZE * SUBGROUP_SIZE + source];
}
#endif
