// token[0] = a token drawn by its probability, after temperature, top-k, top-p and min-p. One workgroup.
//
// A weight is exp((logit - largest) / temperature): from 0 to 1, so that its bits order as it does. The smallest weight that
// top-k or top-p keeps is found bit by bit, which takes no sorting; tokens of equal weight stay or go together.
// The draw walks the tokens lane by lane: token i belongs to lane i mod 256.

#import choice

struct Params {
    vocab: u32,
    reserved0: u32, reserved1: u32, reserved2: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(3) var<storage, read> logits: array<f32>;
@group(0) @binding(4) var<storage, read_write> weights: array<f32>;
@group(0) @binding(5) var<storage, read_write> token: array<u32>;

#import reduce

// Sum over the tokens with at least this weight.
fn mass(least: f32, lane: u32) -> f32 {
    var sum = 0.0;
    for (var i = lane; i < p.vocab; i += 256u) {
        sum += select(0.0, weights[i], weights[i] >= least);
    }
    return sum_all(sum, lane);
}

fn count(least: f32, lane: u32) -> f32 {
    var sum = 0.0;
    for (var i = lane; i < p.vocab; i += 256u) {
        sum += select(0.0, 1.0, weights[i] >= least);
    }
    return sum_all(sum, lane);
}

var<workgroup> drawn: u32;

@compute @workgroup_size(256)
fn sample(@builtin(local_invocation_index) lane: u32) {
    var peak = -3.0e38;
    for (var i = lane; i < p.vocab; i += 256u) {
        peak = max(peak, logits[i]);
    }
    peak = max_all(peak, lane);
    for (var i = lane; i < p.vocab; i += 256u) {
        // Not a number compares false, and gets no weight.
        let weight = exp((logits[i] - peak) / choice.temperature);
        weights[i] = select(0.0, weight, weight >= 0.0);
    }

    var least = 0u;
    if choice.top_k > 0u && choice.top_k < p.vocab {
        for (var bit = 1u << 29u; bit > 0u; bit >>= 1u) {
            if count(bitcast<f32>(least | bit), lane) >= f32(choice.top_k) {
                least |= bit;
            }
        }
    }
    if choice.top_p < 1.0 {
        let wanted = choice.top_p * mass(bitcast<f32>(least), lane);
        var reached = 0u;
        for (var bit = 1u << 29u; bit > 0u; bit >>= 1u) {
            if mass(bitcast<f32>(max(reached | bit, least)), lane) >= wanted {
                reached |= bit;
            }
        }
        least = max(least, reached);
    }
    let floor_ = max(bitcast<f32>(least), choice.min_p);

    var own = 0.0;
    for (var i = lane; i < p.vocab; i += 256u) {
        own += select(0.0, weights[i], weights[i] >= floor_);
    }
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
    let mine = own > 0.0 && goal >= before && goal < before + own;
    var rest = goal - before;
    if mine {
        var pick = 0u;
        for (var i = lane; i < p.vocab; i += 256u) {
            let weight = select(0.0, weights[i], weights[i] >= floor_);
            if weight > 0.0 && rest >= 0.0 {
                pick = i;
                rest -= weight;
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
                pick = select(0u, i + 1u, logits[i] >= peak);
            }
        }
        token[0] = max(pick, 1u) - 1u;
    }
}
