// The orthonormal Walsh-Hadamard transform of consecutive blocks of a vector. It spreads outliers
// evenly over a block, so that one scale suits the whole group. The transform is its own inverse.
// Rust: `kv::hadamard`.
#ifdef CPU
// A barrier costs a CPU more than the transform: each invocation has a vector of its own.
const VECTOR_INVOCATIONS = 1u;
var<private> vector: array<f32, 128>;
#else
const VECTOR_INVOCATIONS = 64u;
var<workgroup> vector: array<f32, 128>;
#endif

// Waits until all invocations of the vector have written to it.
fn vector_barrier() {
#ifdef CPU
#else
    workgroupBarrier();
#endif
}

// Transforms `dim` floats of `vector`; `block` is a power of two that divides `dim`. Invocation
// `index` of the vector's. Begins and ends with a barrier.
fn hadamard(index: u32, dim: u32, block: u32) {
    for (var half = 1u; half < block; half <<= 1u) {
        vector_barrier();
        for (var pair = index; pair < dim / 2u; pair += VECTOR_INVOCATIONS) {
            let i = 2u * pair - (pair & (half - 1u));
            let a = vector[i];
            let b = vector[i + half];
            vector[i] = a + b;
            vector[i + half] = a - b;
        }
    }
    vector_barrier();
    let scale = inverseSqrt(f32(block));
    for (var i = 2u * index; i < dim; i += 2u * VECTOR_INVOCATIONS) {
        vector[i] *= scale;
        vector[i + 1u] *= scale;
    }
    vector_barrier();
}
