// Four rows for an invocation: `cpu`, `cpu_subgroup` and `cpu_few_rows`.
const ROWS_PER_INVOCATION = 4u;

alias Rows = vec4<f32>;          // a float of each row
alias RowIndices = vec4<u32>;    // an index of each row
alias RowFlags = vec4<bool>;
alias RowVectors = mat4x4<f32>;  // four floats of each row: column r is row r's

// Four rows, of those of the workgroup.
fn rows_from(first: u32) -> RowIndices {
    return vec4<u32>(first) + vec4<u32>(0u, 1u, 2u, 3u);
}

fn tokens_of_rows(work: Work, token: RowIndices) -> RowIndices {
    return tokens_of(work, token);
}

fn partials_of_rows(work: Work, kv_head: u32, rows: u32, row: RowIndices) -> RowIndices {
    return partials_of(work, kv_head, rows, row);
}

fn visible_slots_of_rows(work: Work, row: RowIndices) -> RowIndices {
    return vec4<u32>(
        visible_slots(work, row.x), visible_slots(work, row.y),
        visible_slots(work, row.z), visible_slots(work, row.w),
    );
}

fn load_queries(at: RowIndices) -> RowVectors {
    return mat4x4(q[at.x], q[at.y], q[at.z], q[at.w]);
}

fn load_partials4(at: RowIndices) -> RowVectors {
    return mat4x4(
        load_partial4(at.x), load_partial4(at.y), load_partial4(at.z), load_partial4(at.w),
    );
}

fn load_partials(at: RowIndices) -> Rows {
    return load_row_partials(at);
}

// Dot products of a key's four floats and each row's.
fn dot_rows(k: vec4<f32>, q: RowVectors) -> Rows {
    let t = transpose(q);
    return fma(
        t[0], vec4<f32>(k.x), fma(t[1], vec4<f32>(k.y), fma(t[2], vec4<f32>(k.z), t[3] * k.w)),
    );
}

// Each row's floats multiplied by its own factor.
fn scale_rows(v: RowVectors, factor: Rows) -> RowVectors {
    return mat4x4(v[0] * factor.x, v[1] * factor.y, v[2] * factor.z, v[3] * factor.w);
}

// Row `r` of `add_slots8`.
fn add_slots8_to(acc: vec4<f32>, v: Slots8, t: u32, r: u32) -> vec4<f32> {
    return add_row(
        acc, v, weights[t][r], weights[t + 1u][r], weights[t + 2u][r], weights[t + 3u][r],
        weights[t + 4u][r], weights[t + 5u][r], weights[t + 6u][r], weights[t + 7u][r],
    );
}

// Adds the values of eight slots by each row's weights, from slot `t` on.
fn add_slots8(acc: RowVectors, v: Slots8, t: u32) -> RowVectors {
    return mat4x4(
        add_slots8_to(acc[0], v, t, 0u), add_slots8_to(acc[1], v, t, 1u),
        add_slots8_to(acc[2], v, t, 2u), add_slots8_to(acc[3], v, t, 3u),
    );
}

fn store_acc_of_rows(
    is_row: RowFlags, out_at: RowIndices, partial_at: RowIndices, acc: RowVectors, row_sum: Rows,
) {
    store_acc4(is_row.x, out_at.x, partial_at.x, acc[0], row_sum.x);
    store_acc4(is_row.y, out_at.y, partial_at.y, acc[1], row_sum.y);
    store_acc4(is_row.z, out_at.z, partial_at.z, acc[2], row_sum.z);
    store_acc4(is_row.w, out_at.w, partial_at.w, acc[3], row_sum.w);
}

fn store_stats_of_rows(is_row: RowFlags, partial_at: RowIndices, row_max: Rows, row_sum: Rows) {
    store_stats(is_row.x, partial_at.x, row_max.x, row_sum.x);
    store_stats(is_row.y, partial_at.y, row_max.y, row_sum.y);
    store_stats(is_row.z, partial_at.z, row_max.z, row_sum.z);
    store_stats(is_row.w, partial_at.w, row_max.w, row_sum.w);
}
