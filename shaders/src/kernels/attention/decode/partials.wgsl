// The partials of up to four rows of a KV head, which are the components of vec4s; see
// attention.wgsl. `attention` and `rope_attention` import decode through this file.

// Rust: `AttentionVariant::rows_per_workgroup`, `rope_attention::MAX_ROWS`.
const ROWS_PER_WORKGROUP = 4u;

// What a workgroup computes. Each invocation below HEAD_DIM has one float of `acc`, that of
// dimension `acc_dim`; all have `row_max` and `row_sum`.
struct Partial { acc: vec4<f32>, row_max: vec4<f32>, row_sum: vec4<f32> }

#import kernels/attention/decode/attend.wgsl

fn store_rows(at: vec4<u32>, is_row: vec4<bool>, v: vec4<f32>) {
    if is_row.x {
        partials[at.x] = v.x;
    }
    if is_row.y {
        partials[at.y] = v.y;
    }
    if is_row.z {
        partials[at.z] = v.z;
    }
    if is_row.w {
        partials[at.w] = v.w;
    }
}

fn store_partials(at: vec4<u32>, is_row: vec4<bool>, result: Partial, local_index: u32) {
    if local_index < HEAD_DIM {
        store_rows(at + acc_dim(local_index), is_row, result.acc);
    }
    if local_index == 0u {
        store_rows(at + HEAD_DIM, is_row, result.row_max);
        store_rows(at + HEAD_DIM + 1u, is_row, result.row_sum);
    }
}
