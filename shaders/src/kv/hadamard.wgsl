// The orthonormal Walsh-Hadamard transform of consecutive blocks of a vector, by TEAM invocations.
// It spreads outliers evenly, so that a group's scale suits all of it; it is its own inverse.
#ifdef CPU
// CPUs pay more for barriers than for work: each invocation has a vector to itself.
const TEAM = 1u;
var<private> vector: array<f32, 128>;
#else
const TEAM = 64u;
var<workgroup> vector: array<f32, 128>;
#endif

// Waits for the others of the team.
fn meet() {
#ifdef CPU
#else
    workgroupBarrier();
#endif
}

// `dim` floats; `block` is a power of two that divides it. Begins and ends with a meeting.
fn hadamard(lane: u32, dim: u32, block: u32) {
    for (var half = 1u; half < block; half <<= 1u) {
        meet();
        for (var pair = lane; pair < dim / 2u; pair += TEAM) {
            let i = 2u * pair - (pair & (half - 1u));
            let a = vector[i];
            let b = vector[i + half];
            vector[i] = a + b;
            vector[i + half] = a - b;
        }
    }
    meet();
    let scale = inverseSqrt(f32(block));
    for (var i = 2u * lane; i < dim; i += 2u * TEAM) {
        vector[i] *= scale;
        vector[i + 1u] *= scale;
    }
    meet();
}
