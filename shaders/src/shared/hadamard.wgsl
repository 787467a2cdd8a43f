// The orthonormal Walsh-Hadamard transform of consecutive blocks of a vector in workgroup memory, by 64 invocations. It
// spreads outliers evenly, so that a group's scale suits all of it; it is its own inverse.
var<workgroup> vector: array<f32, 128>;

// `dim` floats; `block` is a power of two that divides it. Begins and ends with a barrier.
fn hadamard(lane: u32, dim: u32, block: u32) {
    for (var half = 1u; half < block; half <<= 1u) {
        workgroupBarrier();
        if lane < dim / 2u {
            let i = lane / half * 2u * half + lane % half;
            let a = vector[i];
            let b = vector[i + half];
            vector[i] = a + b;
            vector[i + half] = a - b;
        }
    }
    workgroupBarrier();
    let scale = inverseSqrt(f32(block));
    if lane < dim / 2u {
        vector[2u * lane] *= scale;
        vector[2u * lane + 1u] *= scale;
    }
    workgroupBarrier();
}
