// token[0] = the index of the largest logit, the lowest of equal ones. One workgroup.

struct Params {
    vocab: u32,
    reserved0: u32, reserved1: u32, reserved2: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(2) var<storage, read> logits: array<f32>;
@group(0) @binding(3) var<storage, read_write> token: array<u32>;

var<workgroup> values: array<f32, 256>;
var<workgroup> places: array<u32, 256>;

@compute @workgroup_size(256)
fn argmax(@builtin(local_invocation_index) lane: u32) {
    var value = -3.0e38;
    var place = 0xffffffffu;
    for (var i = lane; i < p.vocab; i += 256u) {
        if logits[i] > value {
            value = logits[i];
            place = i;
        }
    }
    values[lane] = value;
    places[lane] = place;
    for (var half = 128u; half > 0u; half >>= 1u) {
        workgroupBarrier();
        if lane < half {
            let other = values[lane + half];
            let there = places[lane + half];
            if other > values[lane] || (other == values[lane] && there < places[lane]) {
                values[lane] = other;
                places[lane] = there;
            }
        }
    }
    workgroupBarrier();
    if lane == 0u {
        // No logit is a number: any token will do, so that what reads it stays within the vocabulary.
        token[0] = select(places[0], 0u, places[0] >= p.vocab);
    }
}
