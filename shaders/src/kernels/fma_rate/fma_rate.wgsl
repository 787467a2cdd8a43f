// y[i] = the sum of twelve independent chains, each of which is x = x * factor + term, 8 `rounds`
// times. Measures the rate of multiply-adds.
struct Params {
    rounds: u32,
    invocations: u32,
    factor: f32,
    term: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

fn eight_steps(start: vec4<f32>, factor: vec4<f32>, term: vec4<f32>) -> vec4<f32> {
    var x = start;
    x = fma(x, factor, term);
    x = fma(x, factor, term);
    x = fma(x, factor, term);
    x = fma(x, factor, term);
    x = fma(x, factor, term);
    x = fma(x, factor, term);
    x = fma(x, factor, term);
    x = fma(x, factor, term);
    return x;
}

@compute @workgroup_size(256)
fn fma_rate(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= p.invocations {
        return;
    }
    let factor = vec4<f32>(p.factor);
    let term = vec4<f32>(p.term);
    let start = f32(id.x % 64u);
    var a = vec4<f32>(start, start + 1.0, start + 2.0, start + 3.0);
    var b = a + 4.0;
    var c = a + 8.0;
    for (var round = 0u; round < p.rounds; round++) {
        a = eight_steps(a, factor, term);
        b = eight_steps(b, factor, term);
        c = eight_steps(c, factor, term);
    }
    let sum = a + b + c;
    y[id.x] = (sum.x + sum.y) + (sum.z + sum.w);
}
