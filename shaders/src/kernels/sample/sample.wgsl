// token[0] = a token drawn by its probability, after temperature, top-k, top-p and min-p; NO_TOKEN
// where a logit is not a number or plus infinity, or where none is above -3e38. One workgroup.
//
// A weight is exp((logit - largest) / temperature): from 0 to 1, so that its bits order as it does.
// The smallest weight that top-k or top-p keeps is found two bits at a time, which takes no
// sorting; tokens of equal weight stay or go together. Lane i has every 256th four tokens. The draw
// walks them lane by lane.

#import kernels/shared/choice.wgsl
#import kernels/shared/no_token.wgsl

struct Params {
    vocab: u32,
    reserved0: u32, reserved1: u32, reserved2: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(3) var<storage, read> logits: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> weights: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> token: array<u32>;

#import kernels/shared/reduce.wgsl

var<workgroup> fours: array<vec4<f32>, 256>;

fn sum_fours(value: vec4<f32>, lane: u32) -> vec4<f32> {
    workgroupBarrier();
    fours[lane] = value;
    for (var half = 128u; half > 0u; half >>= 1u) {
        workgroupBarrier();
        if lane < half {
            fours[lane] += fours[lane + half];
        }
    }
    workgroupBarrier();
    return fours[0];
}

// What a weight adds to each of four thresholds that lie 2^shift apart; `above` is how far it is
// above the first.
fn added(weight: f32, above: u32, shift: u32, counted: bool) -> vec4<f32> {
    let value = vec4<f32>(select(weight, 1.0, counted));
    return select(vec4<f32>(), value, vec4<u32>(above >> shift) >= vec4<u32>(0u, 1u, 2u, 3u));
}

// The bits of the largest weight such that the tokens of at least that weight (and of at least
// `floor_`) count or weigh as much as is wanted. Found two bits at a time.
fn least_reaching(wanted: f32, floor_: u32, counted: bool, lane: u32) -> u32 {
    var least = 0u;
    // Weights are at most 1.0, which has no bit above the 30th.
    for (var shift = 28u; ; shift -= 2u) {
        var sum = vec4<f32>();
        for (var i = lane; i <= (p.vocab - 1u) / 4u; i += 256u) {
            let bits = bitcast<vec4<u32>>(weights[i]);
            // Weights of zero are no tokens.
            let counts = bits >= max(vec4<u32>(max(least, floor_)), vec4<u32>(1u));
            let four = select(vec4<f32>(), weights[i], counts);
            let above = select(vec4<u32>(), bits - least, counts);
            sum += added(four.x, above.x, shift, counted && counts.x);
            sum += added(four.y, above.y, shift, counted && counts.y);
            sum += added(four.z, above.z, shift, counted && counts.z);
            sum += added(four.w, above.w, shift, counted && counts.w);
        }
        let reached = sum_fours(sum, lane) >= vec4<f32>(wanted);
        // Fewer reach the higher thresholds; the first is reached by what was found so far.
        let steps = select(vec3<u32>(), vec3<u32>(1u), reached.yzw);
        least += (steps.x + steps.y + steps.z) << shift;
        if shift == 0u {
            break;
        }
    }
    return least;
}

// The lane's part of the tokens of at least this weight.
fn mass(least: f32, lane: u32) -> f32 {
    var sum = vec4<f32>();
    for (var i = lane; i <= (p.vocab - 1u) / 4u; i += 256u) {
        sum += select(vec4<f32>(), weights[i], weights[i] >= vec4<f32>(least));
    }
    return (sum.x + sum.y) + (sum.z + sum.w);
}

var<workgroup> drawn: u32;

@compute @workgroup_size(256)
fn sample(@builtin(local_invocation_index) lane: u32) {
    let last = (p.vocab - 1u) / 4u;
    let beyond = vec4<u32>(0u, 1u, 2u, 3u);
    var largest = vec4<f32>(-3.0e38);
    var bits = vec4<u32>();
    for (var i = lane; i <= last; i += 256u) {
        let four = select(vec4<f32>(-3.0e38), logits[i], vec4<u32>(4u * i) + beyond < vec4<u32>(p.vocab));
        largest = max(largest, four);
        bits = max(bits, magnitude_bits(four));
    }
    let own_peak = max(max(largest.x, largest.y), max(largest.z, largest.w));
    let peak = max_all(select(own_peak, NOT_FINITE, has_nan(bits)), lane);
    let is_broken = is_not_finite(peak);
    for (var i = lane; i <= last; i += 256u) {
        let four = exp((logits[i] - vec4<f32>(peak)) / choice.temperature);
        // Not a number compares false, and gets no weight.
        let exists = vec4<u32>(4u * i) + beyond < vec4<u32>(p.vocab);
        let there = (four >= vec4<f32>()) & exists & vec4<bool>(!is_broken);
        weights[i] = select(vec4<f32>(), four, there);
    }

    // First top-k, then top-p of what that keeps. One piece of code: compilers take long over
    // barriers.
    var least = 0u;
    for (var round = 0u; round < 2u; round++) {
        let top_k = round == 0u;
        let cuts_k = choice.top_k > 0u && choice.top_k < p.vocab;
        let cuts_p = choice.top_p < 1.0;
        if (top_k && cuts_k) || (!top_k && cuts_p) {
            let share = choice.top_p * sum_all(mass(bitcast<f32>(least), lane), lane);
            least = max(least, least_reaching(select(share, f32(choice.top_k), top_k), least, top_k, lane));
        }
    }
    let floor_ = max(bitcast<f32>(least), choice.min_p);

    let own = mass(floor_, lane);
    workgroupBarrier();
    lanes[lane] = own;
    if lane == 0u {
        drawn = 0u;
    }
    workgroupBarrier();
    var total = 0.0;
    var before = 0.0;
    for (var i = 0u; i < 256u; i++) {
        before = select(before, total, i == lane);
        total += lanes[i];
    }
    let goal = choice.uniform_ * total;
    // The lanes' shares are half-open and cover [0, total).
    if own > 0.0 && goal >= before && goal < before + own {
        var rest = goal - before;
        var pick = 0u;
        for (var i = lane; i <= last; i += 256u) {
            let four = weights[i];
            for (var j = 0u; j < 4u; j++) {
                let weight = select(0.0, four[j], four[j] >= floor_);
                if weight > 0.0 && rest >= 0.0 {
                    pick = 4u * i + j;
                    rest -= weight;
                }
            }
        }
        drawn = pick + 1u;
    }
    workgroupBarrier();
    if lane == 0u {
        var pick = drawn;
        if pick == 0u {
            // Rounding left the goal between two lanes: the most likely token.
            for (var i = 0u; i < p.vocab && pick == 0u; i++) {
                pick = select(0u, i + 1u, logits[i / 4u][i % 4u] >= peak);
            }
        }
        // No pick at all wraps around to NO_TOKEN.
        token[0] = select(pick - 1u, NO_TOKEN, is_broken);
    }
}
