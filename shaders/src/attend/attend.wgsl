// Exact causal attention of a tile of queries over one segment of the KV cache, by running maximum and sum
// (Milakov and Gimelshein 2018; Dao et al. 2022). A row is a (token, query head) pair; a workgroup takes ROWS rows that
// share a KV head, and one of the splits of the segment's positions.
//
// What is known so far of a row is a state: head_dim weighted sums of values, the largest score, the sum of weights.
// Later segments go on from the state of the earlier ones.
#import step

struct Params {
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    splits: u32,
    first: u32,    // position that the segment begins with
    len: u32,      // positions in the segment
    scale: f32,    // of the scores
    fresh: u32,    // 1: the first segment; states begin here
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(2) var<storage, read> q: array<f32>;
@group(0) @binding(3) var<storage, read> k_cache: array<u32>;
@group(0) @binding(4) var<storage, read> v_cache: array<u32>;
@group(0) @binding(5) var<storage, read_write> states: array<f32>;

#ifdef TILE
const ROWS = 16u;
#else
const ROWS = 4u;
#endif
const LANES = 64u;              // invocations, and positions looked at together
const PARTS = LANES / ROWS;     // invocations for a row's maximum and sum
const NEVER = -1e30;            // the score of what may not be seen

var<workgroup> queries: array<f32, ROWS * 128u>;
var<workgroup> scores: array<f32, ROWS * LANES>;
var<workgroup> parts: array<f32, LANES>;
var<workgroup> rescale: array<f32, ROWS>;

@compute @workgroup_size(64)
fn attend(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let ratio = p.heads / p.kv_heads;
    let rows = step_.count * ratio;
    let row0 = group.x * ROWS;
    let kv_head = group.y;
    let split = group.z;
    if row0 >= rows {
        return;
    }

    // Positions of this split: [begin, end), whole tiles of LANES counted from the segment's begin.
    let last_row = min(row0 + ROWS, rows) - 1u;
    let visible = step_.position + last_row / ratio + 1u;
    let length = select(0u, min(visible - p.first, p.len), visible > p.first);
    let share = ((length + p.splits - 1u) / p.splits + LANES - 1u) / LANES * LANES;
    let begin = split * share;
    let end = min(begin + share, length);

    for (var i = lane; i < ROWS * p.head_dim; i += LANES) {
        let row = min(row0 + i / p.head_dim, last_row);
        let head = kv_head * ratio + row % ratio;
        queries[i] = q[((row / ratio) * p.heads + head) * p.head_dim + i % p.head_dim] * p.scale;
    }

    // An invocation owns words (pairs of floats) of the outputs: word `own` of rows `turn + j * turns`;
    // sums[j] is that row's, so that the index is a constant once the loops are unrolled.
    let words = p.head_dim / 2u;
    let turns = LANES / words;
    let own = lane % words;
    let turn = lane / words;
    var sums: array<vec2<f32>, ROWS>;
    // And shares in one row's maximum and sum of weights.
    let my_row = lane / PARTS;
    let my_part = lane % PARTS;
    var largest = NEVER;
    var total = 0.0;
    let stride = p.head_dim + 2u;
    let state0 = ((split * p.kv_heads + kv_head) * step_.count * ratio + row0) * stride;
    if p.fresh == 0u {
        if turn < turns {
            for (var j = 0u; j < ROWS; j++) {
                let r = turn + j * turns;
                if r < ROWS && row0 + r < rows {
                    let at = state0 + r * stride + own * 2u;
                    sums[j] = vec2<f32>(states[at], states[at + 1u]);
                }
            }
        }
        if row0 + my_row < rows {
            largest = states[state0 + my_row * stride + p.head_dim];
            total = states[state0 + my_row * stride + p.head_dim + 1u];
        }
    }
    workgroupBarrier();

    for (var tile = begin; tile < end; tile += LANES) {
        // Scores: each invocation one position, all rows.
        let slot = tile + lane;
        var score: array<f32, ROWS>;
        if slot < end {
            var at = ((slot / 32u * p.kv_heads + kv_head) * words) * 32u + slot % 32u;
            for (var w = 0u; w < words; w++) {
                let k = unpack2x16float(k_cache[at]);
                at += 32u;
                for (var r = 0u; r < ROWS; r++) {
                    let i = r * p.head_dim + w * 2u;
                    score[r] = fma(k.x, queries[i], fma(k.y, queries[i + 1u], score[r]));
                }
            }
        }
        for (var r = 0u; r < ROWS; r++) {
            let seen = slot < end && p.first + slot <= step_.position + (row0 + r) / ratio;
            scores[r * LANES + lane] = select(NEVER, score[r], seen);
        }
        workgroupBarrier();

        // The row's maximum so far, and the weights relative to it.
        var peak = largest;
        for (var i = my_part; i < LANES; i += PARTS) {
            peak = max(peak, scores[my_row * LANES + i]);
        }
        parts[lane] = peak;
        workgroupBarrier();
        for (var i = 0u; i < PARTS; i++) {
            peak = max(peak, parts[my_row * PARTS + i]);
        }
        var weight = 0.0;
        for (var i = my_part; i < LANES; i += PARTS) {
            let s = scores[my_row * LANES + i];
            let e = select(0.0, exp(s - peak), s > NEVER);
            scores[my_row * LANES + i] = e;
            weight += e;
        }
        let shrink = exp(largest - peak);
        largest = peak;
        if my_part == 0u {
            rescale[my_row] = shrink;
        }
        workgroupBarrier();
        parts[lane] = weight;
        workgroupBarrier();
        total *= shrink;
        for (var i = 0u; i < PARTS; i++) {
            total += parts[my_row * PARTS + i];
        }

        // Values, weighted.
        if turn < turns {
            for (var j = 0u; j < ROWS; j++) {
                sums[j] *= rescale[min(turn + j * turns, ROWS - 1u)];
            }
            let count = min(LANES, end - tile);
            var at = (tile * p.kv_heads + kv_head) * words + own;
            for (var i = 0u; i < count; i++) {
                let v = unpack2x16float(v_cache[at]);
                at += p.kv_heads * words;
                for (var j = 0u; j < ROWS; j++) {
                    let r = turn + j * turns;
                    if r < ROWS {
                        sums[j] = fma(vec2<f32>(scores[r * LANES + i]), v, sums[j]);
                    }
                }
            }
        }
        workgroupBarrier();
    }

    if turn < turns {
        for (var j = 0u; j < ROWS; j++) {
            let r = turn + j * turns;
            if r < ROWS && row0 + r < rows {
                let at = state0 + r * stride + own * 2u;
                states[at] = sums[j].x;
                states[at + 1u] = sums[j].y;
            }
        }
    }
    if my_part == 0u && row0 + my_row < rows {
        states[state0 + my_row * stride + p.head_dim] = largest;
        states[state0 + my_row * stride + p.head_dim + 1u] = total;
    }
}
