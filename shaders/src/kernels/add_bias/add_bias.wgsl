// y[t] += bias, for every token of the step. An invocation adds four columns of one token.
#import kernels/shared/step.wgsl

struct Params {
    width: u32, // a multiple of 4
    reserved0: u32, reserved1: u32, reserved2: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(64)
fn add_bias(@builtin(global_invocation_id) id: vec3<u32>) {
    let columns = min(p.width / 4u, arrayLength(&bias));
    if id.x >= columns || id.y >= step_.count {
        return;
    }
    y[id.y * columns + id.x] += bias[id.x];
}
