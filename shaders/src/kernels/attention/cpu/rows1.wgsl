// One row for an invocation: `cpu_few_rows_subgroup`. Names and arithmetic are those of
// `rows4.wgsl`, so that a row's result is the same to the bit.
const ROWS_PER_INVOCATION = 1u;

alias Rows = f32;              // a float of the row
alias RowIndices = u32;        // an index of the row
alias RowFlags = bool;
alias RowVectors = vec4<f32>;  // four floats of the row

// The row, of those of the workgroup.
fn rows_from(first: u32) -> RowIndices {
    return first;
}

fn tokens_of_rows(work: Work, token: RowIndices) -> RowIndices {
    return tokens_of(work, vec4<u32>(token)).x;
}

fn partials_of_rows(work: Work, kv_head: u32, rows: u32, row: RowIndices) -> RowIndices {
    return partials_of(work, kv_head, rows, vec4<u32>(row)).x;
}

fn visible_slots_of_rows(work: Work, row: RowIndices) -> RowIndices {
    return visible_slots(work, row);
}

fn load_queries(at: RowIndices) -> RowVectors {
    return q[at];
}

fn load_partials4(at: RowIndices) -> RowVectors {
    return load_partial4(at);
}

fn load_partials(at: RowIndices) -> Rows {
    return partials[at];
}

// Dot product of a key's four floats and the row's.
fn dot_rows(k: vec4<f32>, q: RowVectors) -> Rows {
    return fma(q.x, k.x, fma(q.y, k.y, fma(q.z, k.z, q.w * k.w)));
}

fn scale_rows(v: RowVectors, factor: Rows) -> RowVectors {
    return v * factor;
}

// Adds the values of eight slots by the row's weights, from slot `t` on.
fn add_slots8(acc: RowVectors, v: Slots8, t: u32) -> RowVectors {
    return add_row(
        acc, v, weights[t], weights[t + 1u], weights[t + 2u], weights[t + 3u],
        weights[t + 4u], weights[t + 5u], weights[t + 6u], weights[t + 7u],
    );
}

fn store_acc_of_rows(
    is_row: RowFlags, out_at: RowIndices, partial_at: RowIndices, acc: RowVectors, row_sum: Rows,
) {
    store_acc4(is_row, out_at, partial_at, acc, row_sum);
}

fn store_stats_of_rows(is_row: RowFlags, partial_at: RowIndices, row_max: Rows, row_sum: Rows) {
    store_stats(is_row, partial_at, row_max, row_sum);
}
