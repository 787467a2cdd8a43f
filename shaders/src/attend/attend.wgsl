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
    k_words: u32,  // of a cached vector
    v_words: u32,
    reserved0: u32, reserved1: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(2) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> k_cache: array<u32>;
@group(0) @binding(4) var<storage, read> v_cache: array<u32>;
@group(0) @binding(5) var<storage, read_write> states: array<f32>;

#import kv

override K_VALUES: u32 = 2; // floats in a word
override V_VALUES: u32 = 2;

#ifdef ROWS_16
const ROWS = 16u;
#endif
#ifdef ROWS_8
const ROWS = 8u;
#endif
#ifdef ROWS_4
const ROWS = 4u;
#endif
const LANES = 64u;              // invocations, and positions looked at together
const PARTS = LANES / ROWS;     // invocations for a row's maximum and sum
const NEVER = -1e30;            // the score of what may not be seen

var<workgroup> queries: array<vec4<f32>, ROWS * 32u>;
var<workgroup> scores: array<f32, ROWS * LANES>;
var<workgroup> parts: array<f32, LANES>;
// A row's largest score so far, its sum of weights, and what the last tile made of what was summed before.
var<workgroup> peaks: array<f32, ROWS>;
var<workgroup> totals: array<f32, ROWS>;
var<workgroup> rescale: array<f32, ROWS>;

fn k_word(base: u32, w: u32) -> u32 {
    return k_cache[base + w * 32u];
}

// Floats 4 i to 4 i + 3 of a key, whose words begin at `base`, 32 apart; not scaled yet.
fn k_quad(base: u32, i: u32) -> vec4<f32> {
    if K_VALUES == 1u {
        return bitcast<vec4<f32>>(vec4<u32>(
            k_word(base, 4u * i), k_word(base, 4u * i + 1u), k_word(base, 4u * i + 2u), k_word(base, 4u * i + 3u),
        ));
    }
    if K_VALUES == 2u {
        return vec4<f32>(unpack2x16float(k_word(base, 2u * i)), unpack2x16float(k_word(base, 2u * i + 1u)));
    }
    if K_VALUES == 4u {
        return bytes_of(k_word(base, i));
    }
    return nibbles_of(k_word(base, i / 2u), (i & 1u) * 16u);
}

fn k_scale(base: u32, i: u32) -> f32 {
    if K_VALUES < 4u {
        return 1.0;
    }
    let group = 4u * i / scale_group(p.head_dim);
    return half_of(k_word(base, p.head_dim / K_VALUES + group / 2u), group);
}

// The same of a value, whose words lie together.
fn v_quad(base: u32, i: u32) -> vec4<f32> {
    if V_VALUES == 1u {
        let at = base + 4u * i;
        return bitcast<vec4<f32>>(vec4<u32>(v_cache[at], v_cache[at + 1u], v_cache[at + 2u], v_cache[at + 3u]));
    }
    if V_VALUES == 2u {
        let at = base + 2u * i;
        return vec4<f32>(unpack2x16float(v_cache[at]), unpack2x16float(v_cache[at + 1u]));
    }
    let group = 4u * i / scale_group(p.head_dim);
    let scale = half_of(v_cache[base + p.head_dim / V_VALUES + group / 2u], group);
    if V_VALUES == 4u {
        return bytes_of(v_cache[base + i]) * scale;
    }
    return nibbles_of(v_cache[base + i / 2u], (i & 1u) * 16u) * scale;
}

// Where the words of a key begin.
fn key_base(kv_head: u32, slot: u32) -> u32 {
    return ((slot / 32u * p.kv_heads + kv_head) * p.k_words) * 32u + slot % 32u;
}

// How many of the segment's positions a row may see.
fn seen_by(row: u32) -> u32 {
    let visible = step_.position + row / (p.heads / p.kv_heads) + 1u;
    return select(0u, visible - p.first, visible > p.first);
}

#ifdef ROWS_16
// A row's scores of the tile's positions `column` and 16, 32, 48 on, of which those below `end` count.
fn put_scores(row: u32, tile: u32, column: u32, end: u32, s: vec4<f32>) {
    let slots = vec4<u32>(tile + column) + vec4<u32>(0u, 16u, 32u, 48u);
    let known = select(vec4<f32>(NEVER), s, slots < vec4<u32>(end));
    let at = row * LANES + column;
    scores[at] = known.x;
    scores[at + 16u] = known.y;
    scores[at + 32u] = known.z;
    scores[at + 48u] = known.w;
}
#endif

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
    let length = min(seen_by(last_row), p.len);
    let share = ((length + p.splits - 1u) / p.splits + LANES - 1u) / LANES * LANES;
    let begin = min(split * share, length);
    let end = min(begin + share, length);

    let quads = p.head_dim / 4u;
    for (var i = lane; i < ROWS * quads; i += LANES) {
        let row = min(row0 + i / quads, last_row);
        let head = kv_head * ratio + row % ratio;
        queries[i] = q[((row / ratio) * p.heads + head) * quads + i % quads] * p.scale;
    }

#ifdef ROWS_16
    let column = lane % 16u;
    let high = lane / 16u * 4u;
#endif
    // An invocation sums quad `own` of the values of each `turns`th position, for all rows.
    let turns = LANES / quads;
    let own = lane % quads;
    let turn = lane / quads;
    var sums: array<vec4<f32>, ROWS>;
    // And it shares in one row's maximum and sum of weights.
    let my_row = lane / PARTS;
    let my_part = lane % PARTS;
    let stride = p.head_dim + 2u;
    let state0 = ((split * p.kv_heads + kv_head) * step_.count * ratio + row0) * stride;
    if p.fresh == 0u {
        if turn == 0u {
            for (var r = 0u; r < ROWS; r++) {
                if row0 + r < rows {
                    let at = state0 + r * stride + own * 4u;
                    sums[r] = vec4<f32>(states[at], states[at + 1u], states[at + 2u], states[at + 3u]);
                }
            }
        }
    }
    if my_part == 0u {
        let known = p.fresh == 0u && row0 + my_row < rows;
        let at = state0 + select(0u, my_row * stride, known) + p.head_dim;
        peaks[my_row] = select(NEVER, states[at], known);
        totals[my_row] = select(0.0, states[at + 1u], known);
    }
    workgroupBarrier();

    for (var tile = begin; tile < end; tile += LANES) {
#ifdef ROWS_16
        // Scores: each invocation four rows of four positions, for many rows are bound by the loads of queries.
        let last = end - 1u;
        let b0 = key_base(kv_head, min(tile + column, last));
        let b1 = key_base(kv_head, min(tile + column + 16u, last));
        let b2 = key_base(kv_head, min(tile + column + 32u, last));
        let b3 = key_base(kv_head, min(tile + column + 48u, last));
        var s0 = vec4<f32>();
        var s1 = vec4<f32>();
        var s2 = vec4<f32>();
        var s3 = vec4<f32>();
        for (var i = 0u; i < quads; i++) {
            let k0 = k_quad(b0, i) * k_scale(b0, i);
            let k1 = k_quad(b1, i) * k_scale(b1, i);
            let k2 = k_quad(b2, i) * k_scale(b2, i);
            let k3 = k_quad(b3, i) * k_scale(b3, i);
            let q0 = queries[high * quads + i];
            let q1 = queries[(high + 1u) * quads + i];
            let q2 = queries[(high + 2u) * quads + i];
            let q3 = queries[(high + 3u) * quads + i];
            s0 += vec4<f32>(dot(q0, k0), dot(q0, k1), dot(q0, k2), dot(q0, k3));
            s1 += vec4<f32>(dot(q1, k0), dot(q1, k1), dot(q1, k2), dot(q1, k3));
            s2 += vec4<f32>(dot(q2, k0), dot(q2, k1), dot(q2, k2), dot(q2, k3));
            s3 += vec4<f32>(dot(q3, k0), dot(q3, k1), dot(q3, k2), dot(q3, k3));
        }
        put_scores(high, tile, column, min(end, seen_by(row0 + high)), s0);
        put_scores(high + 1u, tile, column, min(end, seen_by(row0 + high + 1u)), s1);
        put_scores(high + 2u, tile, column, min(end, seen_by(row0 + high + 2u)), s2);
        put_scores(high + 3u, tile, column, min(end, seen_by(row0 + high + 3u)), s3);
#else
        // Scores: each invocation one position, all rows, for few rows are bound by the loads of keys.
        let slot = tile + lane;
        // Said, though WGSL promises it: one browser's compiler keeps the sums of the tile before.
        var score = array<f32, ROWS>();
        if slot < end {
            let base = key_base(kv_head, slot);
            for (var i = 0u; i < quads; i += 4u) {
                let scale = k_scale(base, i);
                let a = k_quad(base, i) * scale;
                let b = k_quad(base, i + 1u) * scale;
                let c = k_quad(base, i + 2u) * scale;
                let d = k_quad(base, i + 3u) * scale;
                for (var r = 0u; r < ROWS; r++) {
                    let at = r * quads + i;
                    let sum = fma(queries[at], a, fma(queries[at + 1u], b, fma(queries[at + 2u], c, queries[at + 3u] * d)));
                    score[r] += (sum.x + sum.y) + (sum.z + sum.w);
                }
            }
        }
        for (var r = 0u; r < ROWS; r++) {
            scores[r * LANES + lane] = select(NEVER, score[r], slot < min(end, seen_by(row0 + r)));
        }
#endif
        workgroupBarrier();

        // The row's maximum so far, and the weights relative to it.
        let before = peaks[my_row];
        var peak = before;
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
        workgroupBarrier();
        parts[lane] = weight;
        if my_part == 0u {
            rescale[my_row] = exp(before - peak);
            peaks[my_row] = peak;
        }
        workgroupBarrier();
        if my_part == 0u {
            var total = totals[my_row] * rescale[my_row];
            for (var i = 0u; i < PARTS; i++) {
                total += parts[lane + i];
            }
            totals[my_row] = total;
        }

        // Values, weighted.
        if turn < turns {
            for (var r = 0u; r < ROWS; r++) {
                sums[r] *= rescale[r];
            }
            let count = min(LANES, end - tile);
            for (var i = turn; i < count; i += turns) {
                let v = v_quad(((tile + i) * p.kv_heads + kv_head) * p.v_words, own);
                for (var r = 0u; r < ROWS; r++) {
                    sums[r] = fma(vec4<f32>(scores[r * LANES + i]), v, sums[r]);
                }
            }
        }
        workgroupBarrier();
    }

    // The turns' sums, added where the queries were.
    for (var t = 0u; t < turns; t++) {
        if turn == t {
            for (var r = 0u; r < ROWS; r++) {
                let at = r * quads + own;
                queries[at] = select(queries[at], vec4<f32>(), t == 0u) + sums[r];
            }
        }
        workgroupBarrier();
    }
    for (var i = lane; i < ROWS * quads; i += LANES) {
        let r = i / quads;
        if row0 + r < rows {
            let at = state0 + r * stride + i % quads * 4u;
            states[at] = queries[i].x;
            states[at + 1u] = queries[i].y;
            states[at + 2u] = queries[i].z;
            states[at + 3u] = queries[i].w;
        }
    }
    if my_part == 0u && row0 + my_row < rows {
        states[state0 + my_row * stride + p.head_dim] = peaks[my_row];
        states[state0 + my_row * stride + p.head_dim + 1u] = totals[my_row];
    }
}
