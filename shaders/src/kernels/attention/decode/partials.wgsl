// The state of up to four rows of a KV head, members of vectors: see attention.wgsl. Invocations
// below HEAD_DIM have a float of the sums each, `float_of` says which.
const ROWS = 4u;

struct Whole { sum: vec4<f32>, peak: vec4<f32>, total: vec4<f32> }

#import kernels/attention/decode/stream.wgsl

// Where the states of the four rows from `row0` on are, of `rows` that a KV head has.
fn states_at(split: u32, kv_head: u32, rows: u32, row0: u32) -> vec4<u32> {
    let four = vec4<u32>(row0) + vec4<u32>(0u, 1u, 2u, 3u);
    return ((split * p.kv_heads + kv_head) * rows + min(four, vec4<u32>(rows - 1u))) * (HEAD_DIM + 2u);
}

fn put_rows(at: vec4<u32>, known: vec4<bool>, v: vec4<f32>) {
    if known.x {
        states[at.x] = v.x;
    }
    if known.y {
        states[at.y] = v.y;
    }
    if known.z {
        states[at.z] = v.z;
    }
    if known.w {
        states[at.w] = v.w;
    }
}

fn put_states(at: vec4<u32>, known: vec4<bool>, whole: Whole, lane: u32) {
    if lane < HEAD_DIM {
        put_rows(at + float_of(lane), known, whole.sum);
    }
    if lane == 0u {
        put_rows(at + HEAD_DIM, known, whole.peak);
        put_rows(at + HEAD_DIM + 1u, known, whole.total);
    }
}
