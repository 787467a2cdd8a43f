// Many tokens, for GPUs: 256 invocations in four bands. A band has four rows, whose scores are the
// members of a vector; each of its invocations looks at two positions, for which it loads the
// queries once, then sums one quad of the values of every so many positions.
const BANDS = 4u;
const LANES = 256u;
const PLACES = LANES / BANDS; // invocations of a band
const WIDTH = 2u * PLACES;    // positions looked at together
const ROWS = 4u * BANDS;

var<workgroup> queries: array<vec4<f32>, ROWS * 32u>;    // [quad, row]
var<workgroup> weights: array<vec4<f32>, BANDS * WIDTH>; // [band, position]; between times what invocations tell each other

#import kernels/attention/prefill/band.wgsl

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
    let band = lane / PLACES;
    let place = lane % PLACES;
    let last_row = min(row0 + ROWS, rows) - 1u;
    let slots = slots_of(split, last_row);
    let begin = slots.begin;
    let end = slots.end;
    if begin >= end && p.fresh == 0u {
        return;
    }

    let quads = HEAD_DIM / 4u;
    for (var i = lane; i < ROWS * quads; i += LANES) {
        let row = min(row0 + i % ROWS, last_row);
        let head = kv_head * ratio + row % ratio;
        queries[i] = q[(row / ratio) * (p.q_width / 4u) + head * quads + i / ROWS] * p.scale;
    }

    let four = vec4<u32>(row0 + 4u * band) + vec4<u32>(0u, 1u, 2u, 3u);
    let known = four < vec4<u32>(rows);
    let seen = vec4<u32>(seen_by(four.x), seen_by(four.y), seen_by(four.z), seen_by(four.w));
    let stride = HEAD_DIM + 2u;
    let at = ((split * p.kv_heads + kv_head) * rows + min(four, vec4<u32>(last_row))) * stride; // the rows' states
    let own = place % quads;
    let turn = place / quads;
    let turns = PLACES / quads;
    let step = p.kv_heads * p.v_words;
    var s0 = vec4<f32>();
    var s1 = vec4<f32>();
    var s2 = vec4<f32>();
    var s3 = vec4<f32>();
    var peak = vec4<f32>(NEVER);
    var total = vec4<f32>(); // this invocation's part of it
    if p.fresh == 0u {
        peak = rows_at(at + HEAD_DIM);
        if place == 0u {
            total = rows_at(at + HEAD_DIM + 1u);
        }
        if turn == 0u {
            s0 = state4(at.x + own * 4u);
            s1 = state4(at.y + own * 4u);
            s2 = state4(at.z + own * 4u);
            s3 = state4(at.w + own * 4u);
        }
    }

    for (var first = begin; first < end; first += WIDTH) {
        // The queries are there, and the weights before these read.
        workgroupBarrier();
        let slot = first + place;
        let both = scores_at(band, key_base(kv_head, min(slot, end - 1u)), key_base(kv_head, min(slot + PLACES, end - 1u)));
        let limit = min(seen, vec4<u32>(end));
        let a = select(vec4<f32>(NEVER), both.a, vec4<u32>(slot) < limit);
        let b = select(vec4<f32>(NEVER), both.b, vec4<u32>(slot + PLACES) < limit);
        let before = peak;
        peak = max(peak, max_all(max(a, b), lane));
        // Those that may not be seen have no weight.
        let of_a = select(vec4<f32>(), exp(a - peak), a > vec4<f32>(NEVER));
        let of_b = select(vec4<f32>(), exp(b - peak), b > vec4<f32>(NEVER));
        let own_weights = band * WIDTH;
        weights[own_weights + place] = of_a;
        weights[own_weights + place + PLACES] = of_b;
        let rescale = exp(before - peak);
        total = fma(total, rescale, of_a + of_b);
        s0 *= rescale.x;
        s1 *= rescale.y;
        s2 *= rescale.z;
        s3 *= rescale.w;
        workgroupBarrier();
        if turn < turns {
            let count = min(WIDTH, end - first);
            let last = value_base(kv_head, first + count - 1u);
            var at_ = value_base(kv_head, first + turn);
            // Four positions' loads are on their way together.
            for (var i = turn; i < count; i += 4u * turns) {
                let v = v_quad(at_, own);
                let u = v_quad(min(at_ + turns * step, last), own);
                let t = v_quad(min(at_ + 2u * turns * step, last), own);
                let s = v_quad(min(at_ + 3u * turns * step, last), own);
                let wv = weights[own_weights + i];
                let wu = weight_at(own_weights, i + turns);
                let wt = weight_at(own_weights, i + 2u * turns);
                let ws = weight_at(own_weights, i + 3u * turns);
                s0 = fma(vec4<f32>(ws.x), s, fma(vec4<f32>(wt.x), t, fma(vec4<f32>(wu.x), u, fma(vec4<f32>(wv.x), v, s0))));
                s1 = fma(vec4<f32>(ws.y), s, fma(vec4<f32>(wt.y), t, fma(vec4<f32>(wu.y), u, fma(vec4<f32>(wv.y), v, s1))));
                s2 = fma(vec4<f32>(ws.z), s, fma(vec4<f32>(wt.z), t, fma(vec4<f32>(wu.z), u, fma(vec4<f32>(wv.z), v, s2))));
                s3 = fma(vec4<f32>(ws.w), s, fma(vec4<f32>(wt.w), t, fma(vec4<f32>(wu.w), u, fma(vec4<f32>(wv.w), v, s3))));
                at_ += 4u * turns * step;
            }
        }
    }

    workgroupBarrier();
    put_sums(s0, lane, quads, at.x, known.x);
    put_sums(s1, lane, quads, at.y, known.y);
    put_sums(s2, lane, quads, at.z, known.z);
    put_sums(s3, lane, quads, at.w, known.w);
    let sum = sum_all(total, lane);
    if place < 4u && known[place] {
        states[at[place] + HEAD_DIM] = peak[place];
        states[at[place] + HEAD_DIM + 1u] = sum[place];
    }
}
