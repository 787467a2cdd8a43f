// For CPUs: four rows an invocation, in loops that are short enough for a core's decoded
// instructions. Where there are many rows an invocation has its own four and sees all positions,
// one after the other. Where there are few, all have the same four, and each sees an eighth of the
// positions.
const LANES = 8u; // invocations
#ifdef FEW_ROWS
const ROWS = 4u;
const TURNS = 8u; // positions of an invocation that are weighed together
const TILE = TURNS * LANES;

fn row_of(row0: u32, r: u32, own: u32) -> u32 {
    return row0 + r;
}

fn slot_of(first: u32, t: u32, own: u32) -> u32 {
    return first + t * LANES + own;
}
#else
const ROWS = 4u * LANES;
const TURNS = 32u;
const TILE = TURNS;

fn row_of(row0: u32, r: u32, own: u32) -> u32 {
    return row0 + 4u * own + r;
}

fn slot_of(first: u32, t: u32, own: u32) -> u32 {
    return first + t;
}
#endif

// Where an invocation looks: at slots from `begin` on, below `end`, of a KV head.
struct View { kv_head: u32, begin: u32, end: u32, own: u32, lane: u32 }

// Quads of eight turns' keys or values, or the four rows' scores.
struct Eight {
    a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>,
    e: vec4<f32>, f: vec4<f32>, g: vec4<f32>, h: vec4<f32>,
}

// Loops that step by `p.one` stay loops, for code compiles slowly.
#import kernels/attention/cpu/scores.wgsl
#import kernels/attention/cpu/sums.wgsl

// Stores a row's quad of the result, or of its state.
fn put_quad(known: bool, y_at: u32, state: u32, sum: vec4<f32>, total: f32) {
    if !known {
        return;
    }
    if p.finish == 1u {
        y[y_at] = sum / total;
        return;
    }
    put_state4(state, sum);
}

fn put_known(known: bool, state: u32, peak: f32, total: f32) {
    if known {
        states[state + HEAD_DIM] = peak;
        states[state + HEAD_DIM + 1u] = total;
    }
}

@compute @workgroup_size(LANES)
fn attention(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) own: u32,
#ifdef SUBGROUP_BROADCAST
    @builtin(subgroup_invocation_id) lane: u32,
#endif
) {
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
    let four = vec4<u32>(row_of(row0, 0u, own), row_of(row0, 1u, own), row_of(row0, 2u, own), row_of(row0, 3u, own));
    let known = four <= vec4<u32>(last_row);
    let row = min(four, vec4<u32>(last_row));
    let token = row / ratio;
    let head = kv_head * ratio + row % ratio;
    let q_at = token * (p.q_width / 4u) + head * quads;
    let y_at = (token * p.heads + head) * quads;
    let state = ((split * p.kv_heads + kv_head) * rows + row) * (HEAD_DIM + 2u);
    let seen = min(vec4<u32>(seen_by(row.x), seen_by(row.y), seen_by(row.z), seen_by(row.w)), vec4<u32>(end));
    // Where all have the same rows, one goes on from what is known of them.
    let goes_on = p.fresh == 0u && (ROWS > 4u || own == 0u);
    var peak = vec4<f32>(NEVER);
    var total = vec4<f32>();
    if goes_on {
        peak = rows_at(state + HEAD_DIM);
        total = rows_at(state + HEAD_DIM + 1u);
    }
    for (var i = 0u; i < quads; i += p.one) {
        queries[i] = mat4x4(q[q_at.x + i], q[q_at.y + i], q[q_at.z + i], q[q_at.w + i]) * p.scale;
        var sum = mat4x4<f32>();
        if goes_on {
            let at = state + 4u * i;
            sum = mat4x4(state4(at.x), state4(at.y), state4(at.z), state4(at.w));
        }
        put_sum(i, own, sum);
    }

    for (var first = begin; first < end; first += TILE) {
#ifdef SUBGROUP_BROADCAST
        let view = View(kv_head, first, end, own, lane);
#else
        let view = View(kv_head, first, end, own, own);
#endif
        let before = peak;
        peak = max(peak, score_tile(view, seen));
        let rescale = exp(before - peak);
        total = fma(total, rescale, weigh_tile(peak));
        for (var i = 0u; i < quads; i++) {
            let sum = sum_of(i, own);
            put_sum(i, own, add_tile(scaled(sum, rescale), view, i));
        }
    }

#ifdef FEW_ROWS
    let all = united(peak, total, own);
    let rescale = exp(peak - all.peak);
    peak = all.peak;
    total = all.total;
    for (var first = 0u; first < quads; first += LANES * p.one) {
        let i = first + own;
        let sum = united_sum(first, rescale, own);
#else
    for (var i = 0u; i < quads; i += p.one) {
        let sum = sum_of(i, own);
#endif
        if i < quads {
            put_quad(known.x, y_at.x + i, state.x + 4u * i, sum[0], total.x);
            put_quad(known.y, y_at.y + i, state.y + 4u * i, sum[1], total.y);
            put_quad(known.z, y_at.z + i, state.z + 4u * i, sum[2], total.z);
            put_quad(known.w, y_at.w + i, state.w + 4u * i, sum[3], total.w);
        }
    }
    if p.finish == 0u && (ROWS > 4u || own == 0u) {
        put_known(known.x, state.x, peak.x, total.x);
        put_known(known.y, state.y, peak.y, total.y);
        put_known(known.z, state.z, peak.z, total.z);
        put_known(known.w, state.w, peak.w, total.w);
    }
}
