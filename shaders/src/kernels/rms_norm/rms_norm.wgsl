// out = x / sqrt(mean(x^2) + eps) * weight (Zhang and Sennrich 2019).
#import kernels/shared/step.wgsl

struct Params {
    width: u32, // a multiple of 4
    eps: f32,
    rows: u32,  // the rows of x: 0 all, or as the constants say
    reserved: u32,
}
const LAST_ROW = 1u;    // that of the step's last token
const LISTED_ROWS = 2u; // those of the tokens in `outputs`
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> outputs: array<u32>;
@group(0) @binding(5) var<storage, read_write> out: array<vec4<f32>>;

// Whether row i of out is that of token `outputs[i]`. Else `outputs` is not read. The bound keeps
// Lavapipe from compiling the kernel anew for each value of the parameter.
fn is_listed() -> bool {
    return min(p.rows, arrayLength(&x)) == LISTED_ROWS;
}

// Number of rows of out.
fn row_count() -> u32 {
    return select(
        select(step_.count, 1u, p.rows == LAST_ROW), step_.outputs, p.rows == LISTED_ROWS,
    );
}

// The token of a row of out. Listed tokens may be none of the step.
fn token_of(row: u32) -> u32 {
    if is_listed() {
        return outputs[row];
    }
    return select(row, step_.count - 1u, p.rows == LAST_ROW);
}

// The factor of x, given the sum of its squares.
fn scale_of(squares: f32) -> f32 {
    return 1.0 / sqrt(squares / f32(p.width) + p.eps);
}

fn horizontal_sum(v: vec4<f32>) -> f32 {
    return (v.x + v.y) + (v.z + v.w);
}

#ifdef CPU
// On CPUs barriers cost more than the work: an invocation normalises a token alone.
@compute @workgroup_size(8)
fn rms_norm(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.x;
    if row >= row_count() {
        return;
    }
    let token = token_of(row);
    if token >= step_.count {
        return;
    }
    let vec4s = p.width / 4u;
    let x_row = token * vec4s;
    let out_row = row * vec4s;
    var squares = vec4<f32>();
    for (var i = 0u; i < vec4s; i++) {
        let v = x[x_row + i];
        squares = fma(v, v, squares);
    }
    let scale = scale_of(horizontal_sum(squares));
    for (var i = 0u; i < vec4s; i++) {
        out[out_row + i] = x[x_row + i] * scale * weight[i];
    }
}
#else
// On GPUs a workgroup normalises a token.
#import kernels/shared/reduce.wgsl

@compute @workgroup_size(256)
fn rms_norm(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
) {
    let row = workgroup.x;
    if row >= row_count() {
        return;
    }
    let token = token_of(row);
    if token >= step_.count {
        return;
    }
    let vec4s = p.width / 4u;
    let x_row = token * vec4s;
    let out_row = row * vec4s;
    var squares = vec4<f32>();
    // Four independent loads hide latency.
    for (var i = local_index; i < vec4s; i += 1024u) {
        let last = vec4s - 1u;
        let a = x[x_row + i];
        let b = x[x_row + min(i + 256u, last)];
        let c = x[x_row + min(i + 512u, last)];
        let d = x[x_row + min(i + 768u, last)];
        squares = fma(a, a, squares);
        squares += select(vec4<f32>(), b * b, i + 256u < vec4s);
        squares += select(vec4<f32>(), c * c, i + 512u < vec4s);
        squares += select(vec4<f32>(), d * d, i + 768u < vec4s);
    }
    let scale = scale_of(sum_all(horizontal_sum(squares), local_index));
    for (var i = local_index; i < vec4s; i += 256u) {
        out[out_row + i] = x[x_row + i] * scale * weight[i];
    }
}
#endif
