// token[0] = the index of the largest logit, the lowest of equal ones; NO_TOKEN where a logit is
// not a number or plus infinity, or where none is above -3e38. One workgroup.

#import kernels/shared/no_token.wgsl

struct Params {
    vocab: u32,
    reserved0: u32, reserved1: u32, reserved2: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(2) var<storage, read> logits: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> token: array<u32>;

var<workgroup> values: array<f32, 256>;
var<workgroup> places: array<u32, 256>;

// Takes over what is larger in vector `i`, but for what lies beyond the vocabulary.
fn take(
    found: vec4<f32>, i: u32,
    value: ptr<function, vec4<f32>>, place: ptr<function, vec4<u32>>, bits: ptr<function, vec4<u32>>,
) {
    let ids = vec4<u32>(4u * i) + vec4<u32>(0u, 1u, 2u, 3u);
    let exists = ids < vec4<u32>(p.vocab);
    let larger = (found > *value) & exists;
    *bits = max(*bits, select(vec4<u32>(), magnitude_bits(found), exists));
    *value = select(*value, found, larger);
    *place = select(*place, ids, larger);
}

@compute @workgroup_size(256)
fn argmax(@builtin(local_invocation_index) lane: u32) {
    // Each member of the vectors for itself; four loads on their way at once.
    var value = vec4<f32>(-3.0e38);
    var place = vec4<u32>(NO_TOKEN);
    var bits = vec4<u32>();
    let last = (p.vocab - 1u) / 4u;
    for (var i = lane; i <= last; i += 1024u) {
        let at = vec4<u32>(i, i + 256u, i + 512u, i + 768u);
        let a = logits[at.x];
        let b = logits[min(at.y, last)];
        let c = logits[min(at.z, last)];
        let d = logits[min(at.w, last)];
        take(a, at.x, &value, &place, &bits);
        take(b, at.y, &value, &place, &bits);
        take(c, at.z, &value, &place, &bits);
        take(d, at.w, &value, &place, &bits);
    }
    values[lane] = value.x;
    places[lane] = place.x;
    for (var i = 1u; i < 4u; i++) {
        if value[i] > values[lane] || (value[i] == values[lane] && place[i] < places[lane]) {
            values[lane] = value[i];
            places[lane] = place[i];
        }
    }
    if has_nan(bits) {
        values[lane] = NOT_FINITE;
    }
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
        token[0] = select(places[0], NO_TOKEN, is_not_finite(values[0]));
    }
}
