// Many rows, for CPUs: four rows an invocation, which sees to them alone. Positions come one after the other, in loops that are
// short enough for a core's decoded instructions.

const LANES = 8u; // invocations
const ROWS = 4u * LANES;
const TILE = 32u; // positions looked at together

// An invocation's own. Arrays that are filled in a loop and read at constant indices.
var<private> queries: array<mat4x4<f32>, 32u>; // [quad]: a column is a row's
var<private> weights: array<vec4<f32>, TILE>;  // [position]: the rows' scores, then their weights
// The rows' weighted sums: [quad, invocation], a column is a row's. Each invocation sees its own only.
var<workgroup> sums: array<mat4x4<f32>, 32u * LANES>;

#ifdef SPREAD
// What 32 floats of a key and of the queries give for the rows: quads `i` to `i` + 7, of which each of eight lanes loads one.
fn dots(base: u32, i: u32, lane: u32) -> vec4<f32> {
    let at = min(i + lane % 8u, HEAD_DIM / 4u - 1u);
    let own = k_quad(base, at) * k_scale(base, at);
    return (subgroupBroadcast(own, 0u) * queries[i] + subgroupBroadcast(own, 1u) * queries[i + 1u])
        + (subgroupBroadcast(own, 2u) * queries[i + 2u] + subgroupBroadcast(own, 3u) * queries[i + 3u])
        + (subgroupBroadcast(own, 4u) * queries[i + 4u] + subgroupBroadcast(own, 5u) * queries[i + 5u])
        + (subgroupBroadcast(own, 6u) * queries[i + 6u] + subgroupBroadcast(own, 7u) * queries[i + 7u]);
}
#else
fn key_at(base: u32, i: u32) -> vec4<f32> {
    let at = min(i, HEAD_DIM / 4u - 1u);
    return k_quad(base, at) * k_scale(base, at);
}

// What 32 floats of a key and of the queries give for the rows.
fn dots(base: u32, i: u32, lane: u32) -> vec4<f32> {
    return (key_at(base, i) * queries[i] + key_at(base, i + 1u) * queries[i + 1u])
        + (key_at(base, i + 2u) * queries[i + 2u] + key_at(base, i + 3u) * queries[i + 3u])
        + (key_at(base, i + 4u) * queries[i + 4u] + key_at(base, i + 5u) * queries[i + 5u])
        + (key_at(base, i + 6u) * queries[i + 6u] + key_at(base, i + 7u) * queries[i + 7u]);
}
#endif

// The rows' scores at a position. Queries beyond the end of a head are zero.
fn scores_at(base: u32, lane: u32) -> vec4<f32> {
    var s = dots(base, 0u, lane);
    if HEAD_DIM > 32u {
        s += dots(base, 8u, lane);
    }
    if HEAD_DIM > 64u {
        s += dots(base, 16u, lane);
    }
    if HEAD_DIM > 96u {
        s += dots(base, 24u, lane);
    }
    return s;
}

// Four values' part of the rows' sums: of positions `t` to `t` + 3 of the tile.
fn add4(sum: mat4x4<f32>, a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>, t: u32) -> mat4x4<f32> {
    return sum + mat4x4(a, b, c, d) * transpose(mat4x4(weights[t], weights[t + 1u], weights[t + 2u], weights[t + 3u]));
}

#ifdef SPREAD
// Eight values': quad `i` of them, one of which each lane loads.
fn add8(sum: mat4x4<f32>, kv_head: u32, first: u32, last: u32, i: u32, t: u32, lane: u32) -> mat4x4<f32> {
    let own = v_quad(value_base(kv_head, min(first + t + lane % 8u, last)), i);
    let low = add4(
        sum, subgroupBroadcast(own, 0u), subgroupBroadcast(own, 1u), subgroupBroadcast(own, 2u), subgroupBroadcast(own, 3u), t,
    );
    return add4(
        low, subgroupBroadcast(own, 4u), subgroupBroadcast(own, 5u), subgroupBroadcast(own, 6u), subgroupBroadcast(own, 7u), t + 4u,
    );
}
#else
fn value_at(kv_head: u32, slot: u32, last: u32, i: u32) -> vec4<f32> {
    return v_quad(value_base(kv_head, min(slot, last)), i);
}

fn values4(sum: mat4x4<f32>, kv_head: u32, first: u32, last: u32, i: u32, t: u32) -> mat4x4<f32> {
    let slot = first + t;
    return add4(
        sum, value_at(kv_head, slot, last, i), value_at(kv_head, slot + 1u, last, i), value_at(kv_head, slot + 2u, last, i),
        value_at(kv_head, slot + 3u, last, i), t,
    );
}

// Eight values': quad `i` of them.
fn add8(sum: mat4x4<f32>, kv_head: u32, first: u32, last: u32, i: u32, t: u32, lane: u32) -> mat4x4<f32> {
    return values4(values4(sum, kv_head, first, last, i, t), kv_head, first, last, i, t + 4u);
}
#endif

// The weights of positions `t` to `t` + 3, in place of their scores; their sum.
fn weigh(peak: vec4<f32>, t: u32) -> vec4<f32> {
    let a = weight_of(weights[t], peak);
    let b = weight_of(weights[t + 1u], peak);
    let c = weight_of(weights[t + 2u], peak);
    let d = weight_of(weights[t + 3u], peak);
    weights[t] = a;
    weights[t + 1u] = b;
    weights[t + 2u] = c;
    weights[t + 3u] = d;
    return (a + b) + (c + d);
}

fn weight_of(score: vec4<f32>, peak: vec4<f32>) -> vec4<f32> {
    return select(vec4<f32>(), exp(score - peak), score > vec4<f32>(NEVER));
}

// A row's state begins there.
fn state_of(split: u32, kv_head: u32, rows: u32, row: u32) -> u32 {
    return ((split * p.kv_heads + kv_head) * rows + row) * (HEAD_DIM + 2u);
}

fn state4(at: u32) -> vec4<f32> {
    return vec4<f32>(states[at], states[at + 1u], states[at + 2u], states[at + 3u]);
}

@compute @workgroup_size(LANES)
fn attend(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) own: u32,
#ifdef SPREAD
    @builtin(subgroup_invocation_id) lane: u32,
#endif
) {
#ifdef SPREAD
#else
    let lane = own;
#endif
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
    if begin >= end && p.fresh == 0u && p.finish == 0u {
        return;
    }

    let quads = HEAD_DIM / 4u;
    var peak = vec4<f32>(NEVER);
    var total = vec4<f32>();
    var seen = vec4<u32>();
    for (var r = 0u; r < 4u; r++) {
        let row = min(row0 + 4u * own + r, last_row);
        let head = kv_head * ratio + row % ratio;
        let q_at = (row / ratio) * (p.q_width / 4u) + head * quads;
        let state = state_of(split, kv_head, rows, row);
        seen[r] = seen_by(row);
        for (var i = 0u; i < quads; i++) {
            queries[i][r] = q[q_at + i] * p.scale;
            sums[i * LANES + own][r] = vec4<f32>();
        }
        if p.fresh == 0u {
            peak[r] = states[state + HEAD_DIM];
            total[r] = states[state + HEAD_DIM + 1u];
            for (var i = 0u; i < quads; i++) {
                sums[i * LANES + own][r] = state4(state + 4u * i);
            }
        }
    }

    for (var first = begin; first < end; first += TILE) {
        let before = peak;
        for (var t = 0u; t < TILE; t++) {
            let slot = first + t;
            let s = scores_at(key_base(kv_head, min(slot, end - 1u)), lane);
            let known = select(vec4<f32>(NEVER), s, vec4<u32>(slot) < min(seen, vec4<u32>(end)));
            weights[t] = known;
            peak = max(peak, known);
        }
        let rescale = exp(before - peak);
        total = total * rescale
            + ((weigh(peak, 0u) + weigh(peak, 4u)) + (weigh(peak, 8u) + weigh(peak, 12u)))
            + ((weigh(peak, 16u) + weigh(peak, 20u)) + (weigh(peak, 24u) + weigh(peak, 28u)));
        for (var i = 0u; i < quads; i++) {
            let at = i * LANES + own;
            let old = sums[at];
            let sum = mat4x4(old[0] * rescale.x, old[1] * rescale.y, old[2] * rescale.z, old[3] * rescale.w);
            let a = add8(sum, kv_head, first, end - 1u, i, 0u, lane);
            let b = add8(a, kv_head, first, end - 1u, i, 8u, lane);
            let c = add8(b, kv_head, first, end - 1u, i, 16u, lane);
            sums[at] = add8(c, kv_head, first, end - 1u, i, 24u, lane);
        }
    }

    for (var r = 0u; r < 4u; r++) {
        let row = row0 + 4u * own + r;
        if row > last_row {
            break;
        }
        let head = kv_head * ratio + row % ratio;
        let y_at = ((row / ratio) * p.heads + head) * quads;
        let state = state_of(split, kv_head, rows, row);
        for (var i = 0u; i < quads; i++) {
            let sum = sums[i * LANES + own][r];
            if p.finish == 1u {
                y[y_at + i] = sum / total[r];
            } else {
                let at = state + 4u * i;
                states[at] = sum.x;
                states[at + 1u] = sum.y;
                states[at + 2u] = sum.z;
                states[at + 3u] = sum.w;
            }
        }
        if p.finish == 0u {
            states[state + HEAD_DIM] = peak[r];
            states[state + HEAD_DIM + 1u] = total[r];
        }
    }
}
