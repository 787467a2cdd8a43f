// Attention of each token over its own tail block: up to 64 positions whose keys and values the f16
// tail holds in f16. Continues from the partials that `attention` left of the positions before.
//
// Workgroup (x, y) takes token x and KV head y: the query heads that share it, four at a time. An
// invocation scores one position, then accumulates two floats of all values. Workgroup memory has
// four queries and their weights.
#import kernels/shared/step.wgsl

struct Params {
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    tail_block: u32, // positions of a tail block; at most WORKGROUP_SIZE
    tail_len: u32,   // positions in the f16 tail; a multiple of `tail_block`
    scale: f32,      // of scores
    q_stride: u32,   // floats from one token's queries to the next token's
    reserved: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(2) var<storage, read> q: array<vec4<f32>>;
// Keys, then values: [tail_len, kv_heads, head_dim] f16 each.
@group(0) @binding(3) var<storage, read> f16_tail: array<u32>;
@group(0) @binding(4) var<storage, read_write> partials: array<f32>;

const WORKGROUP_SIZE = 64u;
const MASKED_SCORE = -1e30;

var<workgroup> queries: array<vec4<f32>, 128>; // [row, vec4]
// [position]: the scores of the four rows, then their weights.
var<workgroup> weights: array<vec4<f32>, WORKGROUP_SIZE>;

fn load_f16x4(word: u32) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(f16_tail[word]), unpack2x16float(f16_tail[word + 1u]));
}

@compute @workgroup_size(64)
fn attention_tail(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
) {
    let token = group.x;
    let kv_head = group.y;
    if token >= step_.count {
        return;
    }
    // Bounds that depend on more than uniforms: see matmul's row_groups.
    let ratio = min(p.heads / p.kv_heads, arrayLength(&partials));
    let vec4s = min(p.head_dim / 4u, arrayLength(&q));
    let pairs = p.head_dim / 2u;
    let partial_len = p.head_dim + 2u;
    let position = step_.position + token;
    let first = position / p.tail_block * p.tail_block;
    let count = position - first + 1u;
    // A tail block is contiguous in the ring.
    let slot0 = first % p.tail_len;
    let slot_words = p.kv_heads * pairs;
    let keys = (slot0 * p.kv_heads + kv_head) * pairs;
    let values = keys + p.tail_len * slot_words;
    let partial0 = (kv_head * step_.count + token) * ratio * partial_len;

    for (var row0 = 0u; row0 < ratio; row0 += 4u) {
        for (var i = local_index; i < 4u * vec4s; i += WORKGROUP_SIZE) {
            let head = kv_head * ratio + min(row0 + i / vec4s, ratio - 1u);
            queries[i] = q[token * (p.q_stride / 4u) + head * vec4s + i % vec4s] * p.scale;
        }
        workgroupBarrier();
        if local_index < count {
            let at = keys + local_index * slot_words;
            var s = vec4<f32>();
            for (var i = 0u; i < vec4s; i++) {
                let k = load_f16x4(at + 2u * i);
                s += vec4<f32>(
                    dot(queries[i], k), dot(queries[vec4s + i], k),
                    dot(queries[2u * vec4s + i], k), dot(queries[3u * vec4s + i], k),
                );
            }
            weights[local_index] = s;
        }
        workgroupBarrier();

        // The partial so far counts as one more position.
        var previous_max = vec4<f32>(MASKED_SCORE);
        var row_sum = vec4<f32>();
        for (var r = 0u; r < min(ratio - row0, 4u); r++) {
            let at = partial0 + (row0 + r) * partial_len + p.head_dim;
            // `select`, because FXC refuses to write a component at a dynamic index.
            let is_row = vec4<u32>(r) == vec4<u32>(0u, 1u, 2u, 3u);
            previous_max = select(previous_max, vec4<f32>(partials[at]), is_row);
            row_sum = select(row_sum, vec4<f32>(partials[at + 1u]), is_row);
        }
        var row_max = previous_max;
        for (var i = 0u; i < count; i++) {
            row_max = max(row_max, weights[i]);
        }
        storageBarrier();
        workgroupBarrier();
        if local_index < count {
            weights[local_index] = exp(weights[local_index] - row_max);
        }
        workgroupBarrier();

        // The rows' sums of the invocation's two floats of values.
        var acc0 = vec4<f32>();
        var acc1 = vec4<f32>();
        var tail_sum = vec4<f32>();
        for (var i = 0u; i < count; i++) {
            let w = weights[i];
            let word = f16_tail[values + i * slot_words + min(local_index, pairs - 1u)];
            let v = unpack2x16float(word);
            acc0 = fma(w, vec4<f32>(v.x), acc0);
            acc1 = fma(w, vec4<f32>(v.y), acc1);
            tail_sum += w;
        }
        let rescale = exp(previous_max - row_max);
        row_sum = fma(row_sum, rescale, tail_sum);
        for (var r = 0u; r < min(ratio - row0, 4u); r++) {
            let at = partial0 + (row0 + r) * partial_len;
            if local_index < pairs {
                partials[at + 2u * local_index] =
                    fma(partials[at + 2u * local_index], rescale[r], acc0[r]);
                partials[at + 2u * local_index + 1u] =
                    fma(partials[at + 2u * local_index + 1u], rescale[r], acc1[r]);
            }
            if local_index == 0u {
                partials[at + p.head_dim] = row_max[r];
                partials[at + p.head_dim + 1u] = row_sum[r];
            }
        }
        workgroupBarrier();
    }
}
