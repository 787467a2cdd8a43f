// The result of attention: the states of a row's splits, weighted by their largest scores, over the sum of weights.
// An invocation for each float of the result.
#import step

struct Params {
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    splits: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(2) var<storage, read> states: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn attend_merge(@builtin(global_invocation_id) id: vec3<u32>) {
    let width = p.heads * p.head_dim;
    let token = id.y;
    if id.x >= width || token >= step_.count {
        return;
    }
    let ratio = p.heads / p.kv_heads;
    let head = id.x / p.head_dim;
    let d = id.x % p.head_dim;
    let rows = step_.count * ratio;
    let stride = p.head_dim + 2u;
    let row = (head / ratio) * rows + token * ratio + head % ratio;
    let next = p.kv_heads * rows * stride; // from one split to the next

    var peak = -1e30;
    for (var s = 0u; s < p.splits; s++) {
        peak = max(peak, states[row * stride + s * next + p.head_dim]);
    }
    var sum = 0.0;
    var total = 0.0;
    for (var s = 0u; s < p.splits; s++) {
        let at = row * stride + s * next;
        let weight = exp(states[at + p.head_dim] - peak);
        sum = fma(weight, states[at + d], sum);
        total = fma(weight, states[at + p.head_dim + 1u], total);
    }
    y[token * width + id.x] = sum / total;
}
