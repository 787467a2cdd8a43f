// Many tokens, for GPUs with matrix units: 128 rows a workgroup of eight subgroups, 32 positions at
// a time. A subgroup has 16 rows, whose queries and sums stay in its matrices, 16 floats of a head
// in each. Queries, keys, values and weights are halves, what they are added up to is f32.
//
// Elements of a matrix can't be named: what is done to one goes through workgroup memory. So sums
// are not multiplied anew whenever a larger score comes, but only where it is so much larger that
// weights might leave the halves' range.
const ROWS = 128u;
const LANES = 256u;
const OWN_ROWS = 16u; // of a subgroup
const WIDTH = 32u;    // positions looked at together
const LARGER = 8.0;   // weights are below exp(8)

override QUADS: u32 = HEAD_DIM / 4u;
override PARTS: u32 = HEAD_DIM / 16u;

// Vectors from one key or value to the next, from one row's weights to the next's, and its scores:
// none meets its neighbours in a bank.
const PITCH = 34u;
const WEIGHTS = 10u;
const SCORES = 9u;

// Keys [position, quad]; then the subgroups' weights, [row, four positions]. First queries on their
// way.
var<workgroup> keys: array<vec4<f16>, 1280>;
var<workgroup> values: array<vec4<f16>, WIDTH * PITCH>;
// Of each subgroup, [row, four positions]; or sums, [row, four floats].
var<workgroup> scores: array<vec4<f32>, ROWS * SCORES>;
// Which subgroups have a much larger score.
var<workgroup> larger: array<u32, 8>;

alias Left = coop_mat16x16<f16, A>;
alias Right = coop_mat16x16<f16, B>;
alias Sums = coop_mat16x16<f32, C>;

#import kernels/attention/prefill_coop/parts.wgsl

// Scores of slots from `slot` on; those that are not below `seen` don't count.
fn masked(at: u32, slot: u32, seen: u32) -> vec4<f32> {
    return select(vec4<f32>(NEVER), scores[at], vec4<u32>(slot) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(seen));
}

fn largest_of(v: vec4<f32>) -> f32 {
    return max(max(v.x, v.y), max(v.z, v.w));
}

fn weights_of(scores: vec4<f32>, peak: f32) -> vec4<f16> {
    return vec4<f16>(select(vec4<f32>(), exp(scores - peak), scores > vec4<f32>(NEVER)));
}

fn sum_of(v: vec4<f16>) -> f32 {
    let w = vec4<f32>(v);
    return (w.x + w.y) + (w.z + w.w);
}

// What 16 rows' sums are once each row is multiplied by its own factor.
fn rescaled(sums: Sums, own_scores: u32, pair: u32, factor: f32) -> Sums {
    coopStoreT(sums, &scores[own_scores], SCORES);
    workgroupBarrier();
    scores[pair] *= factor;
    scores[pair + 1u] *= factor;
    workgroupBarrier();
    let result = coopLoadT<Sums>(&scores[own_scores], SCORES);
    workgroupBarrier();
    return result;
}

// Adds what 16 floats of a head, from quad `quad` on, do to scores of 16 positions from `first` on.
fn with_keys(sums: Sums, queries: Left, first: u32, quad: u32) -> Sums {
    return coopMultiplyAdd(queries, coopLoad<Right>(&keys[first * PITCH + quad], PITCH), sums);
}

// Adds 16 floats of 32 values by their weights.
fn with_values(sums: Sums, w0: Left, w1: Left, quad: u32) -> Sums {
    let half = coopMultiplyAdd(w0, coopLoadT<Right>(&values[quad], PITCH), sums);
    return coopMultiplyAdd(w1, coopLoadT<Right>(&values[16u * PITCH + quad], PITCH), half);
}

// Brings eight quads of all rows' queries to where weights will be, from quad `first` on; zeros
// beyond a head's end.
fn bring_queries(row0: u32, last_row: u32, kv_head: u32, first: u32, lane: u32) {
    let ratio = p.heads / p.kv_heads;
    workgroupBarrier();
    for (var i = lane; i < ROWS * 8u; i += LANES) {
        let row = min(row0 + i / 8u, last_row);
        let quad = first + i % 8u;
        let at = row / ratio * (p.q_width / 4u) + (kv_head * ratio + row % ratio) * QUADS + min(quad, QUADS - 1u);
        keys[i / 8u * WEIGHTS + i % 8u] = within(q[at] * select(0.0, p.scale, quad < QUADS));
    }
    workgroupBarrier();
}

// For naga what a function makes of arguments differs between invocations: it would take no
// matrices behind the early returns.
@diagnostic(off, derivative_uniformity)
@compute @workgroup_size(LANES)
fn attention(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let ratio = p.heads / p.kv_heads;
    let rows = step_.count * ratio;
    let row0 = group.x * ROWS;
    let kv_head = group.y;
    let split = group.z;
    if row0 >= rows || split >= splits_in_use(p.splits) {
        return;
    }
    let last_row = min(row0 + ROWS, rows) - 1u;
    let slots = slots_of(split, last_row);
    let begin = slots.begin;
    let end = slots.end;
    if begin >= end && p.fresh == 0u {
        return;
    }
    let last = max(end, 1u) - 1u;
    let subgroup = lane / 32u;

    // Neighbours have the same part of neighbouring keys, and neighbouring parts of a value: so
    // they lie together.
    let key_slot = lane % 32u;
    let k_part = min(lane / 32u, PARTS - 1u);
    let value_slot = lane / 8u;
    let v_part = min(lane % 8u, PARTS - 1u);
    var next_key = key_part(min(begin + key_slot, last), kv_head, k_part);
    var next_value = value_part(min(begin + value_slot, last), kv_head, v_part);

    var q0 = Left();
    var q1 = Left();
    var q2 = Left();
    var q3 = Left();
    var q4 = Left();
    var q5 = Left();
    var q6 = Left();
    var q7 = Left();
    var o0 = Sums();
    var o1 = Sums();
    var o2 = Sums();
    var o3 = Sums();
    var o4 = Sums();
    var o5 = Sums();
    var o6 = Sums();
    var o7 = Sums();
    let own_weights = subgroup * OWN_ROWS * WEIGHTS;
    bring_queries(row0, last_row, kv_head, 0u, lane);
    q0 = coopLoadT<Left>(&keys[own_weights], WEIGHTS);
    q1 = coopLoadT<Left>(&keys[own_weights + 4u], WEIGHTS);
    if HEAD_DIM > 32u {
        bring_queries(row0, last_row, kv_head, 8u, lane);
        q2 = coopLoadT<Left>(&keys[own_weights], WEIGHTS);
        q3 = coopLoadT<Left>(&keys[own_weights + 4u], WEIGHTS);
    }
    if HEAD_DIM > 64u {
        bring_queries(row0, last_row, kv_head, 16u, lane);
        q4 = coopLoadT<Left>(&keys[own_weights], WEIGHTS);
        q5 = coopLoadT<Left>(&keys[own_weights + 4u], WEIGHTS);
    }
    if HEAD_DIM > 96u {
        bring_queries(row0, last_row, kv_head, 24u, lane);
        q6 = coopLoadT<Left>(&keys[own_weights], WEIGHTS);
        q7 = coopLoadT<Left>(&keys[own_weights + 4u], WEIGHTS);
    }

    // Two invocations have a row's scores, 16 positions each.
    let row = row0 + subgroup * OWN_ROWS + lane % 32u / 2u;
    let half = lane % 2u;
    let seen = min(seen_by(row), end);
    let own_scores = subgroup * OWN_ROWS * SCORES;
    let row_scores = own_scores + lane % 32u / 2u * SCORES;
    let own_pair = row_scores + 2u * half; // eight of 16 sums, when they are there
    var top = NEVER;  // the largest score
    var peak = NEVER; // what weights are held against: no less than that by more than LARGER
    var total = 0.0;  // this invocation's part of it
    for (var first = begin; first < end; first += WIDTH) {
        workgroupBarrier();
        if lane / 32u < PARTS {
            let k = key_of(next_key, min(first + key_slot, last), kv_head, k_part);
            let to_ = key_slot * PITCH + 4u * k_part;
            keys[to_] = k.a;
            keys[to_ + 1u] = k.b;
            keys[to_ + 2u] = k.c;
            keys[to_ + 3u] = k.d;
        }
        if lane % 8u < PARTS {
            let v = value_of(next_value, min(first + value_slot, last), kv_head, v_part);
            let to_ = value_slot * PITCH + 4u * v_part;
            values[to_] = v.a;
            values[to_ + 1u] = v.b;
            values[to_ + 2u] = v.c;
            values[to_ + 3u] = v.d;
        }
        workgroupBarrier();
        next_key = key_part(min(first + WIDTH + key_slot, last), kv_head, k_part);
        next_value = value_part(min(first + WIDTH + value_slot, last), kv_head, v_part);
        var s0 = Sums();
        var s1 = Sums();
        s0 = with_keys(s0, q0, 0u, 0u);
        s1 = with_keys(s1, q0, 16u, 0u);
        if HEAD_DIM > 16u {
            s0 = with_keys(s0, q1, 0u, 4u);
            s1 = with_keys(s1, q1, 16u, 4u);
        }
        if HEAD_DIM > 32u {
            s0 = with_keys(s0, q2, 0u, 8u);
            s1 = with_keys(s1, q2, 16u, 8u);
        }
        if HEAD_DIM > 48u {
            s0 = with_keys(s0, q3, 0u, 12u);
            s1 = with_keys(s1, q3, 16u, 12u);
        }
        if HEAD_DIM > 64u {
            s0 = with_keys(s0, q4, 0u, 16u);
            s1 = with_keys(s1, q4, 16u, 16u);
        }
        if HEAD_DIM > 80u {
            s0 = with_keys(s0, q5, 0u, 20u);
            s1 = with_keys(s1, q5, 16u, 20u);
        }
        if HEAD_DIM > 96u {
            s0 = with_keys(s0, q6, 0u, 24u);
            s1 = with_keys(s1, q6, 16u, 24u);
        }
        if HEAD_DIM > 112u {
            s0 = with_keys(s0, q7, 0u, 28u);
            s1 = with_keys(s1, q7, 16u, 28u);
        }
        coopStoreT(s0, &scores[own_scores], SCORES);
        coopStoreT(s1, &scores[own_scores + 4u], SCORES);
        workgroupBarrier();
        let at = row_scores + 4u * half;
        let slot = first + 16u * half;
        let a = masked(at, slot, seen);
        let b = masked(at + 1u, slot + 4u, seen);
        let c = masked(at + 2u, slot + 8u, seen);
        let d = masked(at + 3u, slot + 12u, seen);
        let own_largest = largest_of(max(max(a, b), max(c, d)));
        let largest = max(own_largest, subgroupShuffleXor(own_largest, 1u));
        top = max(top, largest);
        let moves = top > peak + LARGER;
        let any_moves = subgroupAny(moves);
        if lane % 32u == 0u {
            larger[subgroup] = u32(any_moves);
        }
        workgroupBarrier();
        let all = (larger[0] | larger[1] | larger[2] | larger[3]) | (larger[4] | larger[5] | larger[6] | larger[7]);
        if all != 0u {
            let before = peak;
            peak = select(peak, top, moves);
            let rescale = exp(before - peak);
            total *= rescale;
            // Before the first positions there are no sums.
            if first > begin {
                o0 = rescaled(o0, own_scores, own_pair, rescale);
                if HEAD_DIM > 16u {
                    o1 = rescaled(o1, own_scores, own_pair, rescale);
                }
                if HEAD_DIM > 32u {
                    o2 = rescaled(o2, own_scores, own_pair, rescale);
                }
                if HEAD_DIM > 48u {
                    o3 = rescaled(o3, own_scores, own_pair, rescale);
                }
                if HEAD_DIM > 64u {
                    o4 = rescaled(o4, own_scores, own_pair, rescale);
                }
                if HEAD_DIM > 80u {
                    o5 = rescaled(o5, own_scores, own_pair, rescale);
                }
                if HEAD_DIM > 96u {
                    o6 = rescaled(o6, own_scores, own_pair, rescale);
                }
                if HEAD_DIM > 112u {
                    o7 = rescaled(o7, own_scores, own_pair, rescale);
                }
            }
        }
        let wa = weights_of(a, peak);
        let wb = weights_of(b, peak);
        let wc = weights_of(c, peak);
        let wd = weights_of(d, peak);
        total += (sum_of(wa) + sum_of(wb)) + (sum_of(wc) + sum_of(wd));
        // All keys have been read.
        let to_ = own_weights + lane % 32u / 2u * WEIGHTS + 4u * half;
        keys[to_] = wa;
        keys[to_ + 1u] = wb;
        keys[to_ + 2u] = wc;
        keys[to_ + 3u] = wd;
        workgroupBarrier();
        let w0 = coopLoadT<Left>(&keys[own_weights], WEIGHTS);
        let w1 = coopLoadT<Left>(&keys[own_weights + 4u], WEIGHTS);
        o0 = with_values(o0, w0, w1, 0u);
        if HEAD_DIM > 16u {
            o1 = with_values(o1, w0, w1, 4u);
        }
        if HEAD_DIM > 32u {
            o2 = with_values(o2, w0, w1, 8u);
        }
        if HEAD_DIM > 48u {
            o3 = with_values(o3, w0, w1, 12u);
        }
        if HEAD_DIM > 64u {
            o4 = with_values(o4, w0, w1, 16u);
        }
        if HEAD_DIM > 80u {
            o5 = with_values(o5, w0, w1, 20u);
        }
        if HEAD_DIM > 96u {
            o6 = with_values(o6, w0, w1, 24u);
        }
        if HEAD_DIM > 112u {
            o7 = with_values(o7, w0, w1, 28u);
        }
    }

    total += subgroupShuffleXor(total, 1u);
    let state = ((split * p.kv_heads + kv_head) * rows + min(row, last_row)) * (HEAD_DIM + 2u);
    var before = vec2<f32>(NEVER, 0.0); // what the segments before found: the largest score, the sum of weights
    if p.fresh == 0u {
        before = vec2<f32>(states[state + HEAD_DIM], states[state + HEAD_DIM + 1u]);
    }
    let highest = max(top, before.x);
    let of_own = exp(peak - highest);
    let of_before = exp(before.x - highest);
    for (var part = 0u; part < PARTS; part++) {
        var sums = o0;
        switch part {
            case 1u: { sums = o1; }
            case 2u: { sums = o2; }
            case 3u: { sums = o3; }
            case 4u: { sums = o4; }
            case 5u: { sums = o5; }
            case 6u: { sums = o6; }
            case 7u: { sums = o7; }
            default: {}
        }
        workgroupBarrier();
        coopStoreT(sums, &scores[own_scores], SCORES);
        workgroupBarrier();
        let at = state + 16u * part + 8u * half;
        for (var i = 0u; i < 8u && row <= last_row; i++) {
            var sum = scores[own_pair + i / 4u][i % 4u] * of_own;
            if p.fresh == 0u {
                sum = fma(states[at + i], of_before, sum);
            }
            states[at + i] = sum;
        }
    }
    if half == 0u && row <= last_row {
        states[state + HEAD_DIM] = highest;
        states[state + HEAD_DIM + 1u] = fma(before.y, of_before, total * of_own);
    }
}
