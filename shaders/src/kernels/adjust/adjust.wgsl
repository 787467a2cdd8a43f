// Penalties and biases on the logits of some tokens. An invocation adjusts one token.
//
// The repetition penalty (Keskar et al. 2019) divides positive logits and multiplies negative ones.
// The presence penalty (of OpenAI's API) is subtracted once, the frequency penalty once for each
// time that the token was seen.

#import kernels/shared/choice.wgsl

struct Params {
    vocab: u32,
    reserved0: u32, reserved1: u32, reserved2: u32,
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
fn adjust(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= choice.entries {
        return;
    }
    let a = adjustments[id.x];
    if a.token >= p.vocab {
        return;
    }
    var logit = logits[a.token];
    if a.seen > 0u {
        logit = select(logit * choice.repetition, logit / choice.repetition, logit > 0.0);
        logit -= choice.presence + choice.frequency * f32(a.seen);
    }
    logits[a.token] = logit + a.bias;
}
