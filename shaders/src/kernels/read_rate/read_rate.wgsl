// sums[i] = the sum, modulo 2^32, of data[i], data[i + lanes], data[i + 2 lanes], ...: how fast
// memory is read.
struct Params {
    quads: u32, // vectors of four words in data
    lanes: u32, // invocations of the dispatch
    reserved0: u32, reserved1: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(2) var<storage, read> data: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> sums: array<u32>;

@compute @workgroup_size(256)
fn read_rate(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= p.lanes {
        return;
    }
    var a = vec4<u32>();
    var b = vec4<u32>();
    var c = vec4<u32>();
    var d = vec4<u32>();
    var at = id.x;
    // Four loads on their way at once.
    for (var left = p.quads / (4u * p.lanes); left > 0u; left--) {
        a += data[at];
        b += data[at + p.lanes];
        c += data[at + 2u * p.lanes];
        d += data[at + 3u * p.lanes];
        at += 4u * p.lanes;
    }
    for (; at < p.quads; at += p.lanes) {
        a += data[at];
    }
    let sum = (a + b) + (c + d);
    sums[id.x] = sum.x + sum.y + sum.z + sum.w;
}
