// sums += x^2 over the step's tokens. An invocation adds up one column.
#import kernels/shared/step.wgsl

struct Params {
    width: u32,
    reserved0: u32, reserved1: u32, reserved2: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read_write> sums: array<f32>;

@compute @workgroup_size(64)
fn column_squares(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= p.width {
        return;
    }
    let tokens = min(step_.count, arrayLength(&x) / p.width);
    var sum = 0.0;
    for (var t = 0u; t < tokens; t++) {
        let value = x[t * p.width + id.x];
        sum = fma(value, value, sum);
    }
    sums[id.x] += sum;
}
