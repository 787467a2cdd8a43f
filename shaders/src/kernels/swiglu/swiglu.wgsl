// gate[t] = silu(gate[t] + gate_bias) * (up[t] + up_bias), for every token of the step, with
// silu(a) = a / (1 + exp(-a)) (Shazeer 2020). An invocation computes four columns of one token.
// Models without biases use the epilogue of matmul instead.
#import kernels/shared/step.wgsl

struct Params {
    width: u32, // a multiple of 4
    reserved0: u32, reserved1: u32, reserved2: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(2) var<storage, read> up: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> gate_bias: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> up_bias: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> gate: array<vec4<f32>>;

@compute @workgroup_size(64)
fn swiglu(@builtin(global_invocation_id) id: vec3<u32>) {
    let columns = min(p.width / 4u, arrayLength(&gate_bias));
    if id.x >= columns || id.y >= step_.count {
        return;
    }
    let at = id.y * columns + id.x;
    let g = gate[at] + gate_bias[id.x];
    let u = up[at] + up_bias[id.x];
    // The exponent is capped because exp's overflow to infinity differs between drivers.
    gate[at] = g / (1.0 + exp(min(-g, vec4<f32>(80.0)))) * u;
}
