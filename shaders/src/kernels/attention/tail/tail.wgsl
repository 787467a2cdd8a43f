// Attention of each token over its own page: up to 64 positions whose keys and values are kept as
// halves, in rings. Goes on from the states that attend left of the pages before. A workgroup takes
// the heads of one KV head of one token, four at a time.
#import kernels/shared/step.wgsl

struct Params {
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    page: u32,   // positions of a page: at most as many as invocations
    ring: u32,   // positions in a ring; a multiple of `page`
    scale: f32,  // of the scores
    q_width: u32, // floats from one token's queries to the next's
    reserved: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(2) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> recent: array<u32>; // keys, then values, [ring, kv_heads, head_dim] each
@group(0) @binding(4) var<storage, read_write> states: array<f32>;

const LANES = 64u;

var<workgroup> queries: array<vec4<f32>, 128>; // four rows of quads
// For each position the scores of the four rows, then their weights.
var<workgroup> weights: array<vec4<f32>, LANES>;

fn quad_of(word: u32) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(recent[word]), unpack2x16float(recent[word + 1u]));
}

@compute @workgroup_size(64)
fn attention_tail(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let token = group.x;
    let kv_head = group.y;
    if token >= step_.count {
        return;
    }
    // Bounds that are not of uniforms alone: see matmul's row_groups.
    let ratio = min(p.heads / p.kv_heads, arrayLength(&states));
    let quads = min(p.head_dim / 4u, arrayLength(&q));
    let pairs = p.head_dim / 2u;
    let stride = p.head_dim + 2u;
    let position = step_.position + token;
    let first = position / p.page * p.page;
    let count = position - first + 1u;
    // A page lies together in the ring.
    let slot0 = first % p.ring;
    let from_one = p.kv_heads * pairs; // from one position to the next
    let keys = (slot0 * p.kv_heads + kv_head) * pairs;
    let values = keys + p.ring * from_one;
    let state0 = (kv_head * step_.count + token) * ratio * stride;

    for (var row0 = 0u; row0 < ratio; row0 += 4u) {
        for (var i = lane; i < 4u * quads; i += LANES) {
            let head = kv_head * ratio + min(row0 + i / quads, ratio - 1u);
            queries[i] = q[token * (p.q_width / 4u) + head * quads + i % quads] * p.scale;
        }
        workgroupBarrier();
        if lane < count {
            let at = keys + lane * from_one;
            var s = vec4<f32>();
            for (var i = 0u; i < quads; i++) {
                let k = quad_of(at + 2u * i);
                s += vec4<f32>(
                    dot(queries[i], k), dot(queries[quads + i], k),
                    dot(queries[2u * quads + i], k), dot(queries[3u * quads + i], k),
                );
            }
            weights[lane] = s;
        }
        workgroupBarrier();

        // What was known before counts as one more position.
        var before = vec4<f32>(-1e30);
        var total = vec4<f32>();
        for (var r = 0u; r < min(ratio - row0, 4u); r++) {
            let at = state0 + (row0 + r) * stride + p.head_dim;
            // `select`, because FXC refuses to write a component by an index that it does not know.
            let is_row = vec4<u32>(r) == vec4<u32>(0u, 1u, 2u, 3u);
            before = select(before, vec4<f32>(states[at]), is_row);
            total = select(total, vec4<f32>(states[at + 1u]), is_row);
        }
        var peak = before;
        for (var i = 0u; i < count; i++) {
            peak = max(peak, weights[i]);
        }
        storageBarrier();
        workgroupBarrier();
        if lane < count {
            weights[lane] = exp(weights[lane] - peak);
        }
        workgroupBarrier();

        var x = vec4<f32>(); // the rows' sums of the first of two floats, and of the second
        var y = vec4<f32>();
        var sum = vec4<f32>();
        for (var i = 0u; i < count; i++) {
            let w = weights[i];
            let v = unpack2x16float(recent[values + i * from_one + min(lane, pairs - 1u)]);
            x = fma(w, vec4<f32>(v.x), x);
            y = fma(w, vec4<f32>(v.y), y);
            sum += w;
        }
        let shrink = exp(before - peak);
        total = fma(total, shrink, sum);
        for (var r = 0u; r < min(ratio - row0, 4u); r++) {
            let at = state0 + (row0 + r) * stride;
            if lane < pairs {
                states[at + 2u * lane] = fma(states[at + 2u * lane], shrink[r], x[r]);
                states[at + 2u * lane + 1u] = fma(states[at + 2u * lane + 1u], shrink[r], y[r]);
            }
            if lane == 0u {
                states[at + p.head_dim] = peak[r];
                states[at + p.head_dim + 1u] = total[r];
            }
        }
        workgroupBarrier();
    }
}
