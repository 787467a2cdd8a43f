// A tile of rows, 64 positions at a time, by 64 invocations.
#ifdef ROWS_8
const ROWS = 8u;
#endif
#ifdef ROWS_4
const ROWS = 4u;
#endif
const LANES = 64u;              // invocations, and positions looked at together
const PARTS = LANES / ROWS;     // invocations for a row's maximum and sum

var<workgroup> queries: array<vec4<f32>, ROWS * 32u>;
var<workgroup> scores: array<f32, ROWS * LANES>;
var<workgroup> parts: array<f32, LANES>;
// A row's largest score so far, its sum of weights, and what the last tile made of what was summed before.
var<workgroup> peaks: array<f32, ROWS>;
var<workgroup> totals: array<f32, ROWS>;
var<workgroup> rescale: array<f32, ROWS>;

#import attend_scores

@compute @workgroup_size(64)
fn attend(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let ratio = p.heads / p.kv_heads;
    let rows = step_.count * ratio;
    let row0 = group.x * ROWS;
    let kv_head = group.y;
    let split = group.z;
    if row0 >= rows || split >= splits_in_use(p.splits) {
        return;
    }

    // Positions of this split: [begin, end), whole tiles of LANES counted from the segment's begin.
    let last_row = min(row0 + ROWS, rows) - 1u;
    let slots = slots_of(split, last_row);
    let begin = slots.begin;
    let end = slots.end;
    if begin >= end && p.fresh == 0u && p.finish == 0u {
        return;
    }

    let quads = p.head_dim / 4u;
    for (var i = lane; i < ROWS * quads; i += LANES) {
        let row = min(row0 + i / quads, last_row);
        let head = kv_head * ratio + row % ratio;
        queries[i] = q[(row / ratio) * (p.q_width / 4u) + head * quads + i % quads] * p.scale;
    }

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
    if p.fresh == 0u && turn == 0u {
        for (var r = 0u; r < ROWS; r++) {
            if row0 + r < rows {
                let at = state0 + r * stride + own * 4u;
                sums[r] = vec4<f32>(states[at], states[at + 1u], states[at + 2u], states[at + 3u]);
            }
        }
    }
    if my_part == 0u {
        peaks[my_row] = NEVER;
        totals[my_row] = 0.0;
        if p.fresh == 0u && row0 + my_row < rows {
            let at = state0 + my_row * stride + p.head_dim;
            peaks[my_row] = states[at];
            totals[my_row] = states[at + 1u];
        }
    }
    workgroupBarrier();

    for (var tile = begin; tile < end; tile += LANES) {
        score_tile(tile, end, kv_head, row0, lane);
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
                let v = v_quad(value_base(kv_head, tile + i), own);
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
        let row = row0 + r;
        if row < rows && p.finish == 1u {
            let head = kv_head * ratio + row % ratio;
            y[((row / ratio) * p.heads + head) * quads + i % quads] = queries[i] / totals[r];
        } else if row < rows {
            let at = state0 + r * stride + i % quads * 4u;
            states[at] = queries[i].x;
            states[at + 1u] = queries[i].y;
            states[at + 2u] = queries[i].z;
            states[at + 3u] = queries[i].w;
        }
    }
    if my_part == 0u && row0 + my_row < rows && p.finish == 0u {
        states[state0 + my_row * stride + p.head_dim] = peaks[my_row];
        states[state0 + my_row * stride + p.head_dim + 1u] = totals[my_row];
    }
}
