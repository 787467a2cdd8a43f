// The result of attention: the states of a row's splits, weighted by their largest scores, over the
// sum of weights. A workgroup for one head of one token; PARTS rows of invocations share the
// splits.
#import kernels/shared/step.wgsl

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

#import kernels/attention/splits.wgsl
#import kv/hadamard.wgsl

override PARTS: u32 = 2;

const QUADS = 32u; // vectors of four that a part's invocations hold
var<workgroup> sums: array<vec4<f32>, QUADS * PARTS>;
var<workgroup> totals: array<f32, QUADS * PARTS>;

@compute @workgroup_size(QUADS, PARTS)
fn attention_combine(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
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
    let splits = min(splits_in_use(p.splits), arrayLength(&states));
    let block = min(p.block, arrayLength(&y));
    var peak = -1e30;
    for (var s = lane; s < splits; s += QUADS * PARTS) {
        peak = max(peak, states[row + s * next + p.head_dim]);
    }
    totals[lane] = peak;
    for (var half = QUADS * PARTS / 2u; half > 0u; half >>= 1u) {
        workgroupBarrier();
        if lane < half {
            totals[lane] = max(totals[lane], totals[lane + half]);
        }
    }
    workgroupBarrier();
    peak = totals[0];
    workgroupBarrier();

    let quad = lane % QUADS;
    let own = quad < p.head_dim / 4u;
    var sum = vec4<f32>();
    var total = 0.0;
    if own {
        for (var s = lane / QUADS; s < splits; s += PARTS) {
            let at = row + s * next;
            let weight = exp(states[at + p.head_dim] - peak);
            let from_ = at + 4u * quad;
            let state = vec4<f32>(states[from_], states[from_ + 1u], states[from_ + 2u], states[from_ + 3u]);
            sum = fma(vec4<f32>(weight), state, sum);
            total = fma(weight, states[at + p.head_dim + 1u], total);
        }
    }
    sums[lane] = sum;
    totals[lane] = total;
    for (var half = PARTS / 2u; half > 0u; half >>= 1u) {
        workgroupBarrier();
        if lane < half * QUADS {
            sums[lane] += sums[lane + half * QUADS];
            totals[lane] += totals[lane + half * QUADS];
        }
    }
    if lane < QUADS && own {
        let mean = sums[lane] / totals[lane];
        vector[4u * lane] = mean.x;
        vector[4u * lane + 1u] = mean.y;
        vector[4u * lane + 2u] = mean.z;
        vector[4u * lane + 3u] = mean.w;
    }
    workgroupBarrier();
    if block > 1u {
        hadamard(lane, p.head_dim, block);
    }
    if lane < p.head_dim / 2u {
        let at = (token * p.heads + head) * p.head_dim + 2u * lane;
        y[at] = vector[2u * lane];
        y[at + 1u] = vector[2u * lane + 1u];
    }
}
