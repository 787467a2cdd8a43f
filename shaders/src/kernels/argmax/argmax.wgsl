// The index of the largest logit of each row whose temperature is 0, the lowest of equal ones.
// NO_TOKEN if a logit is NaN or plus infinity, or if no logit is above -3e38. A workgroup a row.

#import kernels/shared/step.wgsl
#import kernels/shared/choice.wgsl
#import kernels/shared/no_token.wgsl

struct Params {
    vocab: u32,
    chosen_len: u32, // length of `chosen`
    reserved0: u32, reserved1: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(4) var<storage, read_write> chosen: array<u32>;

#import kernels/shared/logits.wgsl

var<workgroup> largest: array<f32, 256>;
var<workgroup> indices: array<u32, 256>;

// Updates the maxima with vector `i` of the logits, without elements beyond the vocabulary.
fn update(
    found: vec4<f32>, i: u32,
    value: ptr<function, vec4<f32>>,
    index: ptr<function, vec4<u32>>,
    bits: ptr<function, vec4<u32>>,
) {
    let ids = vec4<u32>(4u * i) + vec4<u32>(0u, 1u, 2u, 3u);
    let exists = ids < vec4<u32>(p.vocab);
    let larger = (found > *value) & exists;
    *bits = max(*bits, select(vec4<u32>(), magnitude_bits(found), exists));
    *value = select(*value, found, larger);
    *index = select(*index, ids, larger);
}

@compute @workgroup_size(256)
fn argmax(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32,
) {
    let row = workgroup.x;
    if row >= step_.outputs {
        return;
    }
    // `sample` chooses for rows with a temperature.
    if choices[row].temperature > 0.0 {
        return;
    }
    // Each element of the vectors has a maximum of its own. Four independent loads hide latency.
    var value = vec4<f32>(-3.0e38);
    var index = vec4<u32>(NO_TOKEN);
    var bits = vec4<u32>();
    let last = (p.vocab - 1u) / 4u;
    for (var i = local_index; i <= last; i += 1024u) {
        let at = vec4<u32>(i, i + 256u, i + 512u, i + 768u);
        let a = load_logits(row, at.x);
        let b = load_logits(row, min(at.y, last));
        let c = load_logits(row, min(at.z, last));
        let d = load_logits(row, min(at.w, last));
        update(a, at.x, &value, &index, &bits);
        update(b, at.y, &value, &index, &bits);
        update(c, at.z, &value, &index, &bits);
        update(d, at.w, &value, &index, &bits);
    }
    largest[local_index] = value.x;
    indices[local_index] = index.x;
    for (var i = 1u; i < 4u; i++) {
        if value[i] > largest[local_index]
            || (value[i] == largest[local_index] && index[i] < indices[local_index]) {
            largest[local_index] = value[i];
            indices[local_index] = index[i];
        }
    }
    if has_nan(bits) {
        largest[local_index] = NOT_FINITE;
    }
    for (var half = 128u; half > 0u; half >>= 1u) {
        workgroupBarrier();
        if local_index < half {
            let other = largest[local_index + half];
            let other_index = indices[local_index + half];
            if other > largest[local_index]
                || (other == largest[local_index] && other_index < indices[local_index]) {
                largest[local_index] = other;
                indices[local_index] = other_index;
            }
        }
    }
    workgroupBarrier();
    let place = choices[row].chosen;
    if local_index == 0u && place < p.chosen_len {
        chosen[place] = select(indices[0], NO_TOKEN, is_not_finite(largest[0]));
    }
}
