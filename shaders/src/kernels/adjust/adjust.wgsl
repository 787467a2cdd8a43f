// Penalties and biases on the logits of some tokens of each row. A workgroup a row.
//
// The repetition penalty (Keskar et al. 2019) divides positive logits and multiplies negative ones.
// The presence penalty (of OpenAI's API) is subtracted once, the frequency penalty once for each
// time that the token was seen.

#import kernels/shared/step.wgsl
#import kernels/shared/choice.wgsl

struct Params {
    vocab: u32,
    adjustments_len: u32, // length of `adjustments`
    reserved0: u32, reserved1: u32,
}
// Rust: `adjust::Adjustment`.
struct Adjustment {
    token: u32,
    seen: u32,
    bias: f32,
    reserved: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(3) var<storage, read> adjustments: array<Adjustment>;
@group(0) @binding(4) var<storage, read_write> logits: array<f32>;

@compute @workgroup_size(64)
fn adjust(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
) {
    let row = workgroup.x;
    if row >= step_.outputs {
        return;
    }
    let choice = choices[row];
    let first = min(choice.first_entry, p.adjustments_len);
    let entries = min(choice.entries, p.adjustments_len - first);
    for (var i = local_index; i < entries; i += 64u) {
        let a = adjustments[first + i];
        if a.token >= p.vocab {
            continue;
        }
        let at = row * p.vocab + a.token;
        var logit = logits[at];
        if a.seen > 0u {
            logit = select(logit * choice.repetition, logit / choice.repetition, logit > 0.0);
            logit -= choice.presence + choice.frequency * f32(a.seen);
        }
        logits[at] = logit + a.bias;
    }
}
