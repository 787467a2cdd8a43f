// Many tokens, for GPUs: 256 invocations in four bands. A band has four rows, whose scores are the members of a vector; each of its
// invocations looks at one position, then sums one quad of the values of every so many positions.
const BANDS = 4u;
const LANES = 256u;
const WIDTH = LANES / BANDS; // positions looked at together
const ROWS = 4u * BANDS;

var<workgroup> queries: array<vec4<f32>, ROWS * 32u>; // [quad, row]
var<workgroup> weights: array<vec4<f32>, LANES>;      // [band, position]
var<workgroup> lanes: array<vec4<f32>, LANES>;

#import attend_band

@compute @workgroup_size(LANES)
fn attend(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let ratio = p.heads / p.kv_heads;
    let rows = step_.count * ratio;
    let row0 = group.x * ROWS;
    let kv_head = group.y;
    let split = group.z;
    if row0 >= rows || split >= splits_in_use(p.splits) {
        return;
    }
    let band = lane / WIDTH;
    let place = lane % WIDTH;
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
    let turns = WIDTH / quads;
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
    workgroupBarrier();

    for (var first = begin; first < end; first += WIDTH) {
        let slot = first + place;
        var scores = vec4<f32>(NEVER);
        if slot < end {
            scores = select(scores, scores_at(band, key_base(kv_head, slot)), vec4<u32>(slot) < seen);
        }
        let before = peak;
        peak = max(peak, max_all(scores, lane));
        let weight = select(vec4<f32>(), exp(scores - peak), scores > vec4<f32>(NEVER));
        weights[lane] = weight;
        let rescale = exp(before - peak);
        total = fma(total, rescale, weight);
        s0 *= rescale.x;
        s1 *= rescale.y;
        s2 *= rescale.z;
        s3 *= rescale.w;
        workgroupBarrier();
        if turn < turns {
            let count = min(WIDTH, end - first);
            let step = p.kv_heads * p.v_words;
            let base = value_base(kv_head, first);
            let last = count - 1u;
            // Four positions' loads are on their way together.
            for (var i = turn; i < count; i += 4u * turns) {
                let j = i + turns;
                let k = i + 2u * turns;
                let l = i + 3u * turns;
                let vi = v_quad(base + i * step, own);
                let vj = v_quad(base + min(j, last) * step, own);
                let vk = v_quad(base + min(k, last) * step, own);
                let vl = v_quad(base + min(l, last) * step, own);
                let own_weights = band * WIDTH;
                let wi = weights[own_weights + i];
                let wj = select(vec4<f32>(), weights[own_weights + min(j, last)], j < count);
                let wk = select(vec4<f32>(), weights[own_weights + min(k, last)], k < count);
                let wl = select(vec4<f32>(), weights[own_weights + min(l, last)], l < count);
                s0 += (wi.x * vi + wj.x * vj) + (wk.x * vk + wl.x * vl);
                s1 += (wi.y * vi + wj.y * vj) + (wk.y * vk + wl.y * vl);
                s2 += (wi.z * vi + wj.z * vj) + (wk.z * vk + wl.z * vl);
                s3 += (wi.w * vi + wj.w * vj) + (wk.w * vk + wl.w * vl);
            }
        }
    }

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
