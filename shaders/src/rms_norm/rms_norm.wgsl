// y = x / sqrt(mean(x^2) + eps) * weight, a workgroup for each token (Zhang and Sennrich 2019).
#import step

struct Params {
    width: u32,
    eps: f32,
    last: u32, // 1: only the step's last token, into the first row of y
    reserved: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

#import reduce

@compute @workgroup_size(256)
fn rms_norm(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    if group.x >= step_.count {
        return;
    }
    let from_ = select(group.x, step_.count - 1u, p.last == 1u) * p.width;
    let to_ = group.x * p.width;
    var sum = 0.0;
    for (var i = lane; i < p.width; i += 256u) {
        let value = x[from_ + i];
        sum = fma(value, value, sum);
    }
    let scale = 1.0 / sqrt(sum_all(sum, lane) / f32(p.width) + p.eps);
    for (var i = lane; i < p.width; i += 256u) {
        y[to_ + i] = x[from_ + i] * scale * weight[i];
    }
}
