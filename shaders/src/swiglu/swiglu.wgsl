// gate = silu(gate) * up, silu(a) = a / (1 + exp(-a)) (Shazeer 2020). In place.
#import step

struct Params {
    width: u32, // in vectors of four
    reserved0: u32, reserved1: u32, reserved2: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(2) var<storage, read> up: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> gate: array<vec4<f32>>;

@compute @workgroup_size(64)
fn swiglu(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= p.width || id.y >= step_.count {
        return;
    }
    let i = id.y * p.width + id.x;
    let a = gate[i];
    // exp overflows to infinity for large -a on some drivers and not on others: keep clear of it.
    gate[i] = a / (1.0 + exp(min(-a, vec4<f32>(80.0)))) * up[i];
}
