// y = x / sqrt(mean(x^2) + eps) * weight (Zhang and Sennrich 2019).
#import kernels/shared/step.wgsl

struct Params {
    width: u32, // a multiple of 4
    eps: f32,
    last: u32, // 1: only the step's last token, into the first row of y
    reserved: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>;

// A token's first quad in x.
fn row_of(token: u32) -> u32 {
    return select(token, step_.count - 1u, p.last == 1u) * (p.width / 4u);
}

// What x is multiplied by, given the sum of its squares.
fn scale_of(squares: f32) -> f32 {
    return 1.0 / sqrt(squares / f32(p.width) + p.eps);
}

fn horizontal(v: vec4<f32>) -> f32 {
    return (v.x + v.y) + (v.z + v.w);
}

#ifdef CPU
// CPUs pay more for barriers than for work: an invocation has a token to itself.
@compute @workgroup_size(8)
fn rms_norm(@builtin(global_invocation_id) id: vec3<u32>) {
    let token = id.x;
    if token >= select(step_.count, 1u, p.last == 1u) {
        return;
    }
    let quads = p.width / 4u;
    let from_ = row_of(token);
    let to_ = token * quads;
    var sum = vec4<f32>();
    for (var i = 0u; i < quads; i++) {
        let v = x[from_ + i];
        sum = fma(v, v, sum);
    }
    let scale = scale_of(horizontal(sum));
    for (var i = 0u; i < quads; i++) {
        y[to_ + i] = x[from_ + i] * scale * weight[i];
    }
}
#else
// A workgroup for each token.
#import kernels/shared/reduce.wgsl

@compute @workgroup_size(256)
fn rms_norm(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    if group.x >= step_.count {
        return;
    }
    let quads = p.width / 4u;
    let from_ = row_of(group.x);
    let to_ = group.x * quads;
    var sum = vec4<f32>();
    // Four loads on their way at once.
    for (var i = lane; i < quads; i += 1024u) {
        let last = quads - 1u;
        let a = x[from_ + i];
        let b = x[from_ + min(i + 256u, last)];
        let c = x[from_ + min(i + 512u, last)];
        let d = x[from_ + min(i + 768u, last)];
        sum = fma(a, a, sum);
        sum += select(vec4<f32>(), b * b, i + 256u < quads);
        sum += select(vec4<f32>(), c * c, i + 512u < quads);
        sum += select(vec4<f32>(), d * d, i + 768u < quads);
    }
    let scale = scale_of(sum_all(horizontal(sum), lane));
    for (var i = lane; i < quads; i += 256u) {
        y[to_ + i] = x[from_ + i] * scale * weight[i];
    }
}
#endif
