// A token for each row with a temperature, drawn by its probability after temperature, top-k, top-p
// and min-p. NO_TOKEN if a logit is NaN or plus infinity, or if no logit is above -3e38. A
// workgroup a row.
//
// A token's weight is exp((logit - largest) / temperature), from 0 to 1, so that the bits of
// weights order like the weights. The kernel finds the smallest weight that top-k or top-p keeps
// by bisection, two bits at a time, without sorting. Tokens of equal weight are all kept or all
// dropped.
//
// Invocation i holds every 256th vector of four tokens, from vector i on. The draw walks the tokens
// invocation by invocation.

#import kernels/shared/step.wgsl
#import kernels/shared/choice.wgsl
#import kernels/shared/no_token.wgsl

struct Params {
    vocab: u32,
    chosen_len: u32, // length of `chosen`
    reserved0: u32, reserved1: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
// Rows of (vocab + 3) / 4 vectors.
@group(0) @binding(4) var<storage, read_write> weights: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> chosen: array<u32>;

#import kernels/shared/logits.wgsl
#import kernels/shared/reduce.wgsl

// Vectors in a row of weights.
fn vec4s_in_row() -> u32 {
    return (p.vocab + 3u) / 4u;
}

var<workgroup> reduction4: array<vec4<f32>, 256>;

fn sum_all4(value: vec4<f32>, local_index: u32) -> vec4<f32> {
    workgroupBarrier();
    reduction4[local_index] = value;
    for (var half = 128u; half > 0u; half >>= 1u) {
        workgroupBarrier();
        if local_index < half {
            reduction4[local_index] += reduction4[local_index + half];
        }
    }
    workgroupBarrier();
    return reduction4[0];
}

// The contribution of a weight to the sums above four thresholds, which lie 2^shift apart in bits.
// `above` is the distance of the weight's bits from the first threshold.
fn contribution(weight: f32, above: u32, shift: u32, counted: bool) -> vec4<f32> {
    let value = vec4<f32>(select(weight, 1.0, counted));
    return select(vec4<f32>(), value, vec4<u32>(above >> shift) >= vec4<u32>(0u, 1u, 2u, 3u));
}

// The bits of the largest threshold that enough tokens reach: as many as `wanted` where `counted`,
// else tokens of that total weight. Tokens below `floor_` do not count.
fn largest_threshold(
    row: u32, wanted: f32, floor_: u32, counted: bool, local_index: u32,
) -> u32 {
    let first = row * vec4s_in_row();
    var threshold = 0u;
    // Weights are at most 1.0, which has no bit above the 30th.
    for (var shift = 28u; ; shift -= 2u) {
        var sum = vec4<f32>();
        for (var i = local_index; i <= (p.vocab - 1u) / 4u; i += 256u) {
            let bits = bitcast<vec4<u32>>(weights[first + i]);
            // A weight of 0 belongs to no token.
            let counts = bits >= max(vec4<u32>(max(threshold, floor_)), vec4<u32>(1u));
            let v = select(vec4<f32>(), weights[first + i], counts);
            let above = select(vec4<u32>(), bits - threshold, counts);
            sum += contribution(v.x, above.x, shift, counted && counts.x);
            sum += contribution(v.y, above.y, shift, counted && counts.y);
            sum += contribution(v.z, above.z, shift, counted && counts.z);
            sum += contribution(v.w, above.w, shift, counted && counts.w);
        }
        let reached = sum_all4(sum, local_index) >= vec4<f32>(wanted);
        // Higher thresholds are reached by fewer tokens. The first one is reached already.
        let steps = select(vec3<u32>(), vec3<u32>(1u), reached.yzw);
        threshold += (steps.x + steps.y + steps.z) << shift;
        if shift == 0u {
            break;
        }
    }
    return threshold;
}

// The total weight of this invocation's tokens that reach the threshold.
fn mass(row: u32, threshold: f32, local_index: u32) -> f32 {
    let first = row * vec4s_in_row();
    var sum = vec4<f32>();
    for (var i = local_index; i <= (p.vocab - 1u) / 4u; i += 256u) {
        sum += select(
            vec4<f32>(), weights[first + i], weights[first + i] >= vec4<f32>(threshold),
        );
    }
    return (sum.x + sum.y) + (sum.z + sum.w);
}

var<workgroup> drawn_plus_1: u32;

@compute @workgroup_size(256)
fn sample(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
) {
    let row = workgroup.x;
    if row >= step_.outputs {
        return;
    }
    let choice = choices[row];
    // `argmax` chooses for rows without a temperature.
    if choice.temperature <= 0.0 {
        return;
    }
    let first = row * vec4s_in_row();
    let last = (p.vocab - 1u) / 4u;
    let element = vec4<u32>(0u, 1u, 2u, 3u);
    var largest = vec4<f32>(-3.0e38);
    var bits = vec4<u32>();
    for (var i = local_index; i <= last; i += 256u) {
        let exists = vec4<u32>(4u * i) + element < vec4<u32>(p.vocab);
        let v = select(vec4<f32>(-3.0e38), load_logits(row, i), exists);
        largest = max(largest, v);
        bits = max(bits, magnitude_bits(v));
    }
    let local_max = max(max(largest.x, largest.y), max(largest.z, largest.w));
    let largest_logit = max_all(select(local_max, NOT_FINITE, has_nan(bits)), local_index);
    let is_broken = is_not_finite(largest_logit);
    for (var i = local_index; i <= last; i += 256u) {
        let v = exp((load_logits(row, i) - vec4<f32>(largest_logit)) / choice.temperature);
        // NaN compares false, and so gets no weight.
        let exists = vec4<u32>(4u * i) + element < vec4<u32>(p.vocab);
        let is_kept = (v >= vec4<f32>()) & exists & vec4<bool>(!is_broken);
        weights[first + i] = select(vec4<f32>(), v, is_kept);
    }

    // First top-k, then top-p of the tokens that top-k keeps. One loop for both, because compilers
    // take long over barriers.
    var threshold = 0u;
    for (var round = 0u; round < 2u; round++) {
        let top_k = round == 0u;
        let cuts_k = choice.top_k > 0u && choice.top_k < p.vocab;
        let cuts_p = choice.top_p < 1.0;
        if (top_k && cuts_k) || (!top_k && cuts_p) {
            let wanted_mass = choice.top_p
                * sum_all(mass(row, bitcast<f32>(threshold), local_index), local_index);
            threshold = max(threshold, largest_threshold(
                row, select(wanted_mass, f32(choice.top_k), top_k), threshold, top_k, local_index,
            ));
        }
    }
    let floor_ = max(bitcast<f32>(threshold), choice.min_p);

    let local_mass = mass(row, floor_, local_index);
    workgroupBarrier();
    reduction[local_index] = local_mass;
    if local_index == 0u {
        drawn_plus_1 = 0u;
    }
    workgroupBarrier();
    var total = 0.0;
    var before = 0.0;
    for (var i = 0u; i < 256u; i++) {
        before = select(before, total, i == local_index);
        total += reduction[i];
    }
    let goal = choice.uniform_ * total;
    // The ranges of the invocations are half-open and cover [0, total).
    if local_mass > 0.0 && goal >= before && goal < before + local_mass {
        var rest = goal - before;
        var candidate = 0u;
        for (var i = local_index; i <= last; i += 256u) {
            let v = weights[first + i];
            for (var j = 0u; j < 4u; j++) {
                let weight = select(0.0, v[j], v[j] >= floor_);
                if weight > 0.0 && rest >= 0.0 {
                    candidate = 4u * i + j;
                    rest -= weight;
                }
            }
        }
        drawn_plus_1 = candidate + 1u;
    }
    workgroupBarrier();
    if local_index == 0u && choice.chosen < p.chosen_len {
        var token_plus_1 = drawn_plus_1;
        if token_plus_1 == 0u {
            // Rounding left the goal between two invocations. The most likely token is taken.
            for (var i = 0u; i < p.vocab && token_plus_1 == 0u; i++) {
                token_plus_1 = select(0u, i + 1u, load_logit(row, i) >= largest_logit);
            }
        }
        // 0 wraps around to NO_TOKEN.
        chosen[choice.chosen] = select(token_plus_1 - 1u, NO_TOKEN, is_broken);
    }
}
