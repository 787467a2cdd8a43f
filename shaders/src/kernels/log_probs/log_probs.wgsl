// The log-probability of each row's chosen token, and those of its most likely tokens in descending
// order, the lowest id first of equal ones. A workgroup a row.
//
// An invocation keeps the best candidate among its own tokens: every 256th vector of four. In each
// turn the workgroup takes the best of all candidates, and the invocation that it came from finds
// its next one.

#import kernels/shared/step.wgsl
#import kernels/shared/choice.wgsl
#import kernels/shared/no_token.wgsl

struct Params {
    vocab: u32,
    chosen_len: u32, // length of `chosen`
    reserved0: u32, reserved1: u32,
}
// Rust: `log_probs::LogProb`.
struct LogProb {
    token: u32,
    value: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(4) var<storage, read> chosen: array<u32>;
// Rows of 1 + MOST: the chosen token, then the most likely ones.
@group(0) @binding(5) var<storage, read_write> out: array<LogProb>;

const MOST = 20u;
// Stands for minus infinity.
const IMPOSSIBLE = -1.0e30;

#import kernels/shared/logits.wgsl
#import kernels/shared/reduce.wgsl

struct Candidate {
    logit: f32,
    token: u32, // NO_TOKEN: none
}

// The larger logit comes first, of equal ones the lower id. NO_TOKEN comes last.
fn is_before(a: Candidate, b: Candidate) -> bool {
    let larger = a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
    return a.token != NO_TOKEN && (b.token == NO_TOKEN || larger);
}

var<workgroup> candidates: array<Candidate, 256>;

// The logits 4 `i` to 4 `i` + 3 of a row. Minus infinity is raised to a finite value, so that its
// tokens are ordered by their ids.
fn finite_logits(row: u32, i: u32) -> vec4<f32> {
    return max(load_logits(row, i), vec4<f32>(-3.0e38));
}

// The first candidate of this invocation's tokens that comes after `last`.
fn next_candidate(row: u32, last: Candidate, local_index: u32) -> Candidate {
    var best = Candidate(0.0, NO_TOKEN);
    for (var i = local_index; i <= (p.vocab - 1u) / 4u; i += 256u) {
        let v = finite_logits(row, i);
        for (var j = 0u; j < 4u; j++) {
            let id = 4u * i + j;
            let found = Candidate(v[j], id);
            if id < p.vocab && is_before(found, best)
                && (last.token == NO_TOKEN || is_before(last, found)) {
                best = found;
            }
        }
    }
    return best;
}

// The first of all invocations' candidates.
fn first_candidate(candidate: Candidate, local_index: u32) -> Candidate {
    workgroupBarrier();
    candidates[local_index] = candidate;
    for (var half = 128u; half > 0u; half >>= 1u) {
        workgroupBarrier();
        if local_index < half {
            let other = candidates[local_index + half];
            if is_before(other, candidates[local_index]) {
                candidates[local_index] = other;
            }
        }
    }
    workgroupBarrier();
    return candidates[0];
}

// The entry of a token with this logit. `log_sum` is that of exp(logit - largest) over the row.
fn entry(token: u32, logit: f32, largest: f32, log_sum: f32) -> LogProb {
    return LogProb(token, max((logit - largest) - log_sum, IMPOSSIBLE));
}

@compute @workgroup_size(256)
fn log_probs(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
) {
    let row = workgroup.x;
    if row >= step_.outputs {
        return;
    }
    let count = min(choices[row].top_logprobs, MOST);
    if count == 0u {
        return;
    }
    let element = vec4<u32>(0u, 1u, 2u, 3u);
    var largest4 = vec4<f32>(-3.0e38);
    var bits = vec4<u32>();
    for (var i = local_index; i <= (p.vocab - 1u) / 4u; i += 256u) {
        let exists = vec4<u32>(4u * i) + element < vec4<u32>(p.vocab);
        let v = select(vec4<f32>(-3.0e38), load_logits(row, i), exists);
        largest4 = max(largest4, v);
        bits = max(bits, magnitude_bits(v));
    }
    let local_max = max(max(largest4.x, largest4.y), max(largest4.z, largest4.w));
    let largest = max_all(select(local_max, NOT_FINITE, has_nan(bits)), local_index);
    let has_no_choice = is_not_finite(largest) || largest <= -3.0e38;
    var sum4 = vec4<f32>();
    for (var i = local_index; i <= (p.vocab - 1u) / 4u; i += 256u) {
        let exists = vec4<u32>(4u * i) + element < vec4<u32>(p.vocab);
        sum4 += select(vec4<f32>(), exp(finite_logits(row, i) - vec4<f32>(largest)), exists);
    }
    let log_sum = log(sum_all((sum4.x + sum4.y) + (sum4.z + sum4.w), local_index));

    let first_out = row * (1u + MOST);
    let place = choices[row].chosen;
    if local_index == 0u {
        var of_chosen = LogProb(NO_TOKEN, 0.0);
        if !has_no_choice && place < p.chosen_len {
            let token = chosen[place];
            if token < p.vocab {
                of_chosen = entry(token, load_logit(row, token), largest, log_sum);
            }
        }
        out[first_out] = of_chosen;
    }
    var candidate = next_candidate(row, Candidate(0.0, NO_TOKEN), local_index);
    for (var turn = 0u; turn < count; turn++) {
        let first = first_candidate(candidate, local_index);
        let is_found = first.token != NO_TOKEN && !has_no_choice;
        if local_index == 0u {
            var found = LogProb(NO_TOKEN, 0.0);
            if is_found {
                found = entry(first.token, first.logit, largest, log_sum);
            }
            out[first_out + 1u + turn] = found;
        }
        if is_found && candidate.token == first.token {
            candidate = next_candidate(row, first, local_index);
        }
    }
}
