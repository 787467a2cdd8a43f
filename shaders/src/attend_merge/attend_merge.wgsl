// The result of attention: the states of a row's splits, weighted by their largest scores, over the sum of weights. A
// workgroup for one head of one token.
#import step

struct Params {
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    splits: u32,
    block: u32,  // of the Hadamard transform that the cached values went through; 1: none
    reserved0: u32, reserved1: u32, reserved2: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(2) var<storage, read> states: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

#import hadamard

@compute @workgroup_size(64)
fn attend_merge(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let head = group.x;
    let token = group.y;
    if token >= step_.count {
        return;
    }
    let ratio = p.heads / p.kv_heads;
    let rows = step_.count * ratio;
    let stride = p.head_dim + 2u;
    let row = ((head / ratio) * rows + token * ratio + head % ratio) * stride;
    let next = p.kv_heads * rows * stride; // from one split to the next

    // Bounds that are not of uniforms alone: see matmul's row_groups.
    let splits = min(p.splits, arrayLength(&states));
    let block = min(p.block, arrayLength(&y));
    var peak = -1e30;
    for (var s = 0u; s < splits; s++) {
        peak = max(peak, states[row + s * next + p.head_dim]);
    }
    let pairs = p.head_dim / 2u;
    if lane < pairs {
        var sum = vec2<f32>();
        var total = 0.0;
        for (var s = 0u; s < splits; s++) {
            let at = row + s * next;
            let weight = exp(states[at + p.head_dim] - peak);
            sum = fma(vec2<f32>(weight), vec2<f32>(states[at + 2u * lane], states[at + 2u * lane + 1u]), sum);
            total = fma(weight, states[at + p.head_dim + 1u], total);
        }
        vector[2u * lane] = sum.x / total;
        vector[2u * lane + 1u] = sum.y / total;
    }
    workgroupBarrier();
    if block > 1u {
        hadamard(lane, p.head_dim, block);
    }
    if lane < pairs {
        let at = (token * p.heads + head) * p.head_dim + 2u * lane;
        y[at] = vector[2u * lane];
        y[at + 1u] = vector[2u * lane + 1u];
    }
}
