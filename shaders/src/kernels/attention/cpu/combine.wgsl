// Combines the partials of a workgroup's invocations. The formula is that of `attention_combine`:
// with m the largest `row_max`, each part counts exp(row_max - m) times.

struct RowStats { row_max: vec4<f32>, row_sum: vec4<f32> }

// [one of eight vec4s, invocation]
var<workgroup> exchange: array<mat4x4<f32>, WORKGROUP_SIZE * WORKGROUP_SIZE>;

// The largest score and the sum of weights over all invocations.
fn combine_stats(row_max: vec4<f32>, row_sum: vec4<f32>, local_index: u32) -> RowStats {
    exchange[local_index] = mat4x4(row_max, row_sum, vec4<f32>(), vec4<f32>());
    workgroupBarrier();
    var all = RowStats(row_max, vec4<f32>());
    for (var other = 0u; other < WORKGROUP_SIZE; other += p.one) {
        all.row_max = max(all.row_max, exchange[other][0]);
    }
    for (var other = 0u; other < WORKGROUP_SIZE; other += p.one) {
        all.row_sum += exchange[other][1] * exp(exchange[other][0] - all.row_max);
    }
    return all;
}

// Sums eight vec4s of `acc`, from vec4 `first` on, over all invocations, each of which rescales its
// own. Returns the one with the invocation's index.
fn combine_acc(first: u32, rescale: vec4<f32>, local_index: u32) -> mat4x4<f32> {
    workgroupBarrier();
    for (var i = 0u; i < WORKGROUP_SIZE; i += p.one) {
        exchange[i * WORKGROUP_SIZE + local_index] = scale_rows(private_acc[first + i], rescale);
    }
    workgroupBarrier();
    var acc = exchange[local_index * WORKGROUP_SIZE];
    for (var other = 1u; other < WORKGROUP_SIZE; other += p.one) {
        acc += exchange[local_index * WORKGROUP_SIZE + other];
    }
    return acc;
}
