// What the 64 invocations of a row group of `prefill.wgsl` compute together.

// The sum of the row group's values, or the largest.
fn reduce(value: vec4<f32>, local_index: u32, add: bool) -> vec4<f32> {
    weights[local_index] = value;
    for (var half = ROW_GROUP_SIZE / 2u; half > 0u; half >>= 1u) {
        workgroupBarrier();
        if local_index % ROW_GROUP_SIZE < half {
            let a = weights[local_index];
            let b = weights[local_index + half];
            weights[local_index] = select(max(a, b), a + b, add);
        }
    }
    workgroupBarrier();
    let all = weights[local_index / ROW_GROUP_SIZE * ROW_GROUP_SIZE];
    workgroupBarrier();
    return all;
}

fn row_group_max(value: vec4<f32>, local_index: u32) -> vec4<f32> {
    return reduce(value, local_index, false);
}

fn row_group_sum(value: vec4<f32>, local_index: u32) -> vec4<f32> {
    return reduce(value, local_index, true);
}

// The scores of four rows with each of two keys.
struct Scores2 { key0: vec4<f32>, key1: vec4<f32> }

// Adds the dot products of vec4 `i` of the rows' queries with that of two keys.
fn add_keys(s: Scores2, row_group: u32, i: u32, key0: vec4<f32>, key1: vec4<f32>) -> Scores2 {
    let at = i * ROWS_PER_WORKGROUP + 4u * row_group;
    let q0 = queries[at];
    let q1 = queries[at + 1u];
    let q2 = queries[at + 2u];
    let q3 = queries[at + 3u];
    return Scores2(
        add_dots(s.key0, q0, q1, q2, q3, key0),
        add_dots(s.key1, q0, q1, q2, q3, key1),
    );
}

// The scores with the keys at two bases.
fn score_keys(row_group: u32, base0: u32, base1: u32) -> Scores2 {
    var sum = Scores2();
    // Eight loads are in flight together. A head's length is a multiple of 16 floats, and so is a
    // scale's group, so the four vec4s share a scale.
    for (var i = 0u; i < HEAD_DIM / 4u; i += 4u) {
        let a0 = load_key(base0, i);
        let a1 = load_key(base0, i + 1u);
        let a2 = load_key(base0, i + 2u);
        let a3 = load_key(base0, i + 3u);
        let b0 = load_key(base1, i);
        let b1 = load_key(base1, i + 1u);
        let b2 = load_key(base1, i + 2u);
        let b3 = load_key(base1, i + 3u);
        var s = Scores2();
        if K_PER_WORD < 4u {
            s = sum;
        }
        s = add_keys(s, row_group, i, a0, b0);
        s = add_keys(s, row_group, i + 1u, a1, b1);
        s = add_keys(s, row_group, i + 2u, a2, b2);
        s = add_keys(s, row_group, i + 3u, a3, b3);
        if K_PER_WORD >= 4u {
            s = Scores2(
                fma(s.key0, vec4<f32>(load_key_scale(base0, i)), sum.key0),
                fma(s.key1, vec4<f32>(load_key_scale(base1, i)), sum.key1),
            );
        }
        sum = s;
    }
    return sum;
}

// Whether rounds of four values an invocation end with the last slot of a tile.
override HAS_WHOLE_ROUNDS: bool = SLOTS_PER_TILE % (4u * (ROW_GROUP_SIZE / (HEAD_DIM / 4u))) == 0u;

// The weights of slot `i` of a row group, whose weights begin at `first`; zero beyond the tile.
fn load_weight(first: u32, i: u32) -> vec4<f32> {
    if HAS_WHOLE_ROUNDS {
        return weights[first + i];
    }
    return select(
        vec4<f32>(), weights[first + min(i, SLOTS_PER_TILE - 1u)], i < SLOTS_PER_TILE,
    );
}

// Sums one row's `acc` over the invocations that have the same vec4, and stores it at `at`.
fn store_acc(acc: vec4<f32>, local_index: u32, vec4s: u32, at: u32, is_row: bool) {
    weights[local_index] = acc;
    workgroupBarrier();
    let index = local_index % ROW_GROUP_SIZE;
    if index < vec4s && is_row {
        var sum = weights[local_index];
        for (var i = vec4s; i < ROW_GROUP_SIZE / vec4s * vec4s; i += vec4s) {
            sum += weights[local_index + i];
        }
        store_partial4(at + index * 4u, sum);
    }
    workgroupBarrier();
}
