// y = x / sqrt(mean(x^2) + eps) * weight, a workgroup for each token (Zhang and Sennrich 2019).
#import step

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

#import reduce

@compute @workgroup_size(256)
fn rms_norm(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    if group.x >= step_.count {
        return;
    }
    let quads = p.width / 4u;
    let from_ = select(group.x, step_.count - 1u, p.last == 1u) * quads;
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
    let scale = 1.0 / sqrt(sum_all((sum.x + sum.y) + (sum.z + sum.w), lane) / f32(p.width) + p.eps);
    for (var i = lane; i < quads; i += 256u) {
        y[to_ + i] = x[from_ + i] * scale * weight[i];
    }
}
