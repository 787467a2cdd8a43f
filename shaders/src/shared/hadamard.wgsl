// The orthonormal Walsh-Hadamard transform of consecutive blocks of a vector in workgroup memory, by TEAM invocations. It spreads
// outliers evenly, so that a group's scale suits all of it; it is its own inverse.
#ifdef CPU
// CPUs pay more for barriers than for work: each of eight invocations has a vector to itself.
const VECTORS = 8u;
const TEAM = 1u;
#else
const VECTORS = 1u;
const TEAM = 64u;
#endif

var<workgroup> vector: array<f32, 128u * VECTORS>;
// Which of them is this invocation's.
var<private> own_vector: u32;

// Where float `i` of this invocation's vector is.
fn own(i: u32) -> u32 {
    return i * VECTORS + own_vector;
}

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
            let a = vector[own(i)];
            let b = vector[own(i + half)];
            vector[own(i)] = a + b;
            vector[own(i + half)] = a - b;
        }
    }
    meet();
    let scale = inverseSqrt(f32(block));
    for (var i = 2u * lane; i < dim; i += 2u * TEAM) {
        vector[own(i)] *= scale;
        vector[own(i + 1u)] *= scale;
    }
    meet();
}
