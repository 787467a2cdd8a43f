// GEMV for CPUs: one token.
//
// An invocation multiplies eight rows: four of each of two tiles, 8 apart. It loads x once for all.
#import kernels/matmul/codes_in_place.wgsl

fn dot_row(base: u32, g: u32, x: Group, sums: vec2<f32>) -> f32 {
    return dot_in_place(load_in_place(base, g), x, sums);
}

fn dot_rows(bases: vec4<u32>, g: u32, v: Group, sums: vec2<f32>) -> vec4<f32> {
    return vec4<f32>(
        dot_row(bases.x, g, v, sums), dot_row(bases.y, g, v, sums),
        dot_row(bases.z, g, v, sums), dot_row(bases.w, g, v, sums),
    );
}

@compute @workgroup_size(8)
fn matmul(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
) {
    let tile_pair = workgroup_index(workgroup);
    let bases0 = tile_row_bases(2u * tile_pair, local_index);
    let bases1 = tile_row_bases(2u * tile_pair + 1u, local_index);
    let groups = group_count();
    let at = p.x_first * groups * 8u;
    var sum0 = vec4<f32>();
    var sum1 = vec4<f32>();
    for (var g = 0u; g < groups; g++) {
        let v = load_x(at + g * 8u);
        let sums = half_sums(v);
        let x = scaled_x(v);
        sum0 += dot_rows(bases0, g, x, sums);
        sum1 += dot_rows(bases1, g, x, sums);
    }
    let tokens = token_count();
    for (var i = 0u; i < 4u; i++) {
        store_pair(0u, tokens, tile_pair, local_index + 8u * i, sum0[i], sum1[i]);
    }
}
