// Sums and maxima over a workgroup of 256. Every invocation gets the result.
var<workgroup> lanes: array<f32, 256>;

fn sum_all(value: f32, lane: u32) -> f32 {
    workgroupBarrier();
    lanes[lane] = value;
    for (var half = 128u; half > 0u; half >>= 1u) {
        workgroupBarrier();
        if lane < half {
            lanes[lane] += lanes[lane + half];
        }
    }
    workgroupBarrier();
    return lanes[0];
}

fn max_all(value: f32, lane: u32) -> f32 {
    workgroupBarrier();
    lanes[lane] = value;
    for (var half = 128u; half > 0u; half >>= 1u) {
        workgroupBarrier();
        if lane < half {
            lanes[lane] = max(lanes[lane], lanes[lane + half]);
        }
    }
    workgroupBarrier();
    return lanes[0];
}
