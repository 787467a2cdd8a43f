// Stores the results of rows: outputs, or partials.

// Stores four floats of a row: of the output, or of its partial.
fn store_acc4(is_row: bool, out_at: u32, partial_at: u32, acc: vec4<f32>, row_sum: f32) {
    if !is_row {
        return;
    }
    if p.write_output == 1u {
        out[out_at] = acc / row_sum;
        return;
    }
    store_partial4(partial_at, acc);
}

fn store_stats(is_row: bool, partial_at: u32, row_max: f32, row_sum: f32) {
    if is_row {
        partials[partial_at + HEAD_DIM] = row_max;
        partials[partial_at + HEAD_DIM + 1u] = row_sum;
    }
}

// The same for four rows at once.
fn store_acc_of_rows(
    is_row: vec4<bool>, out_at: vec4<u32>, partial_at: vec4<u32>, acc: mat4x4<f32>,
    row_sum: vec4<f32>,
) {
    store_acc4(is_row.x, out_at.x, partial_at.x, acc[0], row_sum.x);
    store_acc4(is_row.y, out_at.y, partial_at.y, acc[1], row_sum.y);
    store_acc4(is_row.z, out_at.z, partial_at.z, acc[2], row_sum.z);
    store_acc4(is_row.w, out_at.w, partial_at.w, acc[3], row_sum.w);
}

fn store_stats_of_rows(
    is_row: vec4<bool>, partial_at: vec4<u32>, row_max: vec4<f32>, row_sum: vec4<f32>,
) {
    store_stats(is_row.x, partial_at.x, row_max.x, row_sum.x);
    store_stats(is_row.y, partial_at.y, row_max.y, row_sum.y);
    store_stats(is_row.z, partial_at.z, row_max.z, row_sum.z);
    store_stats(is_row.w, partial_at.w, row_max.w, row_sum.w);
}
