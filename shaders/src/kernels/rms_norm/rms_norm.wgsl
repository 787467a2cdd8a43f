// out = x / sqrt(mean(x^2) + eps) * weight (Zhang and Sennrich 2019).
#import kernels/shared/step.wgsl

struct Params {
    width: u32, // a multiple of 4
    eps: f32,
    is_last_only: u32, // 1: only the step's last token, into the first row of out
    reserved: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4<f32>>;

// Index of a token's first vector in x.
fn row_of(token: u32) -> u32 {
    return select(token, step_.count - 1u, p.is_last_only == 1u) * (p.width / 4u);
}

// The factor of x, given the sum of its squares.
fn scale_of(squares: f32) -> f32 {
    return 1.0 / sqrt(squares / f32(p.width) + p.eps);
}

fn horizontal_sum(v: vec4<f32>) -> f32 {
    return (v.x + v.y) + (v.z + v.w);
}

#ifdef CPU
// On CPUs barriers cost more than the work: an invocation normalises a token alone.
@compute @workgroup_size(8)
fn rms_norm(@builtin(global_invocation_id) id: vec3<u32>) {
    let token = id.x;
    if token >= select(step_.count, 1u, p.is_last_only == 1u) {
        return;
    }
    let vec4s = p.width / 4u;
    let x_row = row_of(token);
    let out_row = token * vec4s;
    var squares = vec4<f32>();
    for (var i = 0u; i < vec4s; i++) {
        let v = x[x_row + i];
        squares = fma(v, v, squares);
    }
    let scale = scale_of(horizontal_sum(squares));
    for (var i = 0u; i < vec4s; i++) {
        out[out_row + i] = x[x_row + i] * scale * weight[i];
    }
}
#else
// On GPUs a workgroup normalises a token.
#import kernels/shared/reduce.wgsl

@compute @workgroup_size(256)
fn rms_norm(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
) {
    if workgroup.x >= step_.count {
        return;
    }
    let vec4s = p.width / 4u;
    let x_row = row_of(workgroup.x);
    let out_row = workgroup.x * vec4s;
    var squares = vec4<f32>();
    // Four independent loads hide latency.
    for (var i = local_index; i < vec4s; i += 1024u) {
        let last = vec4s - 1u;
        let a = x[x_row + i];
        let b = x[x_row + min(i + 256u, last)];
        let c = x[x_row + min(i + 512u, last)];
        let d = x[x_row + min(i + 768u, last)];
        squares = fma(a, a, squares);
        squares += select(vec4<f32>(), b * b, i + 256u < vec4s);
        squares += select(vec4<f32>(), c * c, i + 512u < vec4s);
        squares += select(vec4<f32>(), d * d, i + 768u < vec4s);
    }
    let scale = scale_of(sum_all(horizontal_sum(squares), local_index));
    for (var i = local_index; i < vec4s; i += 256u) {
        out[out_row + i] = x[x_row + i] * scale * weight[i];
    }
}
#endif
