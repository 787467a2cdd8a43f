// The scores and weights of a tile's positions, for `block.wgsl`.

// Filled in loops, and read at constant indices where that counts.
var<private> queries: array<mat4x4<f32>, 32u>; // [quad]: a column is a row's; beyond the end of a head they are zero
var<private> weights: array<vec4<f32>, TURNS>; // [turn]: the rows' scores, then their weights

fn key_at(base: u32, i: u32) -> vec4<f32> {
    let at = min(i, HEAD_DIM / 4u - 1u);
    return k_quad(base, at) * k_scale(base, at);
}

fn put_scores(t: u32, slot: u32, seen: vec4<u32>, s: vec4<f32>) -> vec4<f32> {
    let known = select(vec4<f32>(NEVER), s, vec4<u32>(slot) < seen);
    weights[t] = known;
    return known;
}

#ifdef FEW_ROWS
fn turn_key(view: View, t: u32) -> u32 {
    return key_base(view.kv_head, min(slot_of(view.begin, t, view.own), view.end - 1u));
}

fn turn_scores(view: View, t: u32, seen: vec4<u32>, s: vec4<f32>) -> vec4<f32> {
    return put_scores(t, slot_of(view.begin, t, view.own), seen, s);
}

// Puts the scores of the tile's positions where weights are to be; the largest of each row.
fn score_tile(view: View, seen: vec4<u32>) -> vec4<f32> {
    let a = turn_key(view, 0u);
    let b = turn_key(view, 1u);
    let c = turn_key(view, 2u);
    let d = turn_key(view, 3u);
    let e = turn_key(view, 4u);
    let f = turn_key(view, 5u);
    let g = turn_key(view, 6u);
    let h = turn_key(view, 7u);
    var s = Eight();
    for (var i = 0u; i < HEAD_DIM / 4u; i++) {
        let q = queries[i];
        s.a += key_at(a, i) * q;
        s.b += key_at(b, i) * q;
        s.c += key_at(c, i) * q;
        s.d += key_at(d, i) * q;
        s.e += key_at(e, i) * q;
        s.f += key_at(f, i) * q;
        s.g += key_at(g, i) * q;
        s.h += key_at(h, i) * q;
    }
    return max(
        max(
            max(turn_scores(view, 0u, seen, s.a), turn_scores(view, 1u, seen, s.b)),
            max(turn_scores(view, 2u, seen, s.c), turn_scores(view, 3u, seen, s.d)),
        ),
        max(
            max(turn_scores(view, 4u, seen, s.e), turn_scores(view, 5u, seen, s.f)),
            max(turn_scores(view, 6u, seen, s.g), turn_scores(view, 7u, seen, s.h)),
        ),
    );
}
#else
// What 32 floats of a key, from quad `i` on, and of the queries give for the rows.
#ifdef SUBGROUP_BROADCAST
fn dots(base: u32, i: u32, lane: u32) -> vec4<f32> {
    // Eight lanes load a quad each.
    let k = key_at(base, i + lane % 8u);
    return (subgroupBroadcast(k, 0u) * queries[i] + subgroupBroadcast(k, 1u) * queries[i + 1u])
        + (subgroupBroadcast(k, 2u) * queries[i + 2u] + subgroupBroadcast(k, 3u) * queries[i + 3u])
        + (subgroupBroadcast(k, 4u) * queries[i + 4u] + subgroupBroadcast(k, 5u) * queries[i + 5u])
        + (subgroupBroadcast(k, 6u) * queries[i + 6u] + subgroupBroadcast(k, 7u) * queries[i + 7u]);
}
#else
fn dots(base: u32, i: u32, lane: u32) -> vec4<f32> {
    return (key_at(base, i) * queries[i] + key_at(base, i + 1u) * queries[i + 1u])
        + (key_at(base, i + 2u) * queries[i + 2u] + key_at(base, i + 3u) * queries[i + 3u])
        + (key_at(base, i + 4u) * queries[i + 4u] + key_at(base, i + 5u) * queries[i + 5u])
        + (key_at(base, i + 6u) * queries[i + 6u] + key_at(base, i + 7u) * queries[i + 7u]);
}
#endif

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

// Puts the scores of the tile's positions where weights are to be; the largest of each row.
fn score_tile(view: View, seen: vec4<u32>) -> vec4<f32> {
    var most = vec4<f32>(NEVER);
    for (var t = 0u; t < TURNS; t++) {
        let slot = slot_of(view.begin, t, view.own);
        let s = scores_at(key_base(view.kv_head, min(slot, view.end - 1u)), view.lane);
        most = max(most, put_scores(t, slot, seen, s));
    }
    return most;
}
#endif

fn weight_of(score: vec4<f32>, peak: vec4<f32>) -> vec4<f32> {
    return select(vec4<f32>(), exp(score - peak), score > vec4<f32>(NEVER));
}

// The weights of eight turns from `t` on, in place of their scores; their sum.
fn weigh(peak: vec4<f32>, t: u32) -> vec4<f32> {
    let a = weight_of(weights[t], peak);
    let b = weight_of(weights[t + 1u], peak);
    let c = weight_of(weights[t + 2u], peak);
    let d = weight_of(weights[t + 3u], peak);
    let e = weight_of(weights[t + 4u], peak);
    let f = weight_of(weights[t + 5u], peak);
    let g = weight_of(weights[t + 6u], peak);
    let h = weight_of(weights[t + 7u], peak);
    weights[t] = a;
    weights[t + 1u] = b;
    weights[t + 2u] = c;
    weights[t + 3u] = d;
    weights[t + 4u] = e;
    weights[t + 5u] = f;
    weights[t + 6u] = g;
    weights[t + 7u] = h;
    return ((a + b) + (c + d)) + ((e + f) + (g + h));
}

// The same of the tile's.
fn weigh_tile(peak: vec4<f32>) -> vec4<f32> {
    let sum = weigh(peak, 0u);
#ifdef FEW_ROWS
    return sum;
#else
    return sum + weigh(peak, 8u) + (weigh(peak, 16u) + weigh(peak, 24u));
#endif
}
