// sums[i] = the sum, modulo 2^32, of data[i], data[i + invocations], data[i + 2 invocations], ...
// Measures the rate of memory reads.
struct Params {
    vec4s: u32, // vectors of four words in data
    invocations: u32,
    reserved0: u32, reserved1: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(2) var<storage, read> data: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> sums: array<u32>;

@compute @workgroup_size(256)
fn read_rate(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= p.invocations {
        return;
    }
    var a = vec4<u32>();
    var b = vec4<u32>();
    var c = vec4<u32>();
    var d = vec4<u32>();
    var at = id.x;
    // Four independent loads hide latency.
    for (var left = p.vec4s / (4u * p.invocations); left > 0u; left--) {
        a += data[at];
        b += data[at + p.invocations];
        c += data[at + 2u * p.invocations];
        d += data[at + 3u * p.invocations];
        at += 4u * p.invocations;
    }
    for (; at < p.vec4s; at += p.invocations) {
        a += data[at];
    }
    let sum = (a + b) + (c + d);
    sums[id.x] = sum.x + sum.y + sum.z + sum.w;
}
