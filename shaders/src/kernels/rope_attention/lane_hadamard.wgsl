// The orthonormal Walsh-Hadamard transform of consecutive blocks of a vector, of which each lane of
// a subgroup has a vec4. Subgroups may differ in `block`, but exchange in the same iterations.
fn hadamard(lane_vector: vec4<f32>, block: u32, local_index: u32) -> vec4<f32> {
    let a = vec4<f32>(
        lane_vector.x + lane_vector.y, lane_vector.x - lane_vector.y,
        lane_vector.z + lane_vector.w, lane_vector.z - lane_vector.w,
    );
    var v = vec4<f32>(a.x + a.z, a.y + a.w, a.x - a.z, a.y - a.w);
    for (var mask = 1u; mask < max(p.k_block, p.v_block) / 4u; mask <<= 1u) {
        let other = shuffle_xor(v, mask, local_index);
        if mask < block / 4u {
            v = select(v + other, other - v, (local_index & mask) != 0u);
        }
    }
    return select(lane_vector, v * inverseSqrt(f32(block)), block > 1u);
}
