// Sums and maxima over a workgroup of 256 invocations. Each invocation gets the result.
var<workgroup> reduction: array<f32, 256>;

fn sum_all(value: f32, local_index: u32) -> f32 {
    workgroupBarrier();
    reduction[local_index] = value;
    for (var half = 128u; half > 0u; half >>= 1u) {
        workgroupBarrier();
        if local_index < half {
            reduction[local_index] += reduction[local_index + half];
        }
    }
    workgroupBarrier();
    return reduction[0];
}

fn max_all(value: f32, local_index: u32) -> f32 {
    workgroupBarrier();
    reduction[local_index] = value;
    for (var half = 128u; half > 0u; half >>= 1u) {
        workgroupBarrier();
        if local_index < half {
            reduction[local_index] = max(reduction[local_index], reduction[local_index + half]);
        }
    }
    workgroupBarrier();
    return reduction[0];
}
