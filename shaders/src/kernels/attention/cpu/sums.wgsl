// The rows' weighted sums of values, for `block.wgsl`: a column is a row's.

#ifdef SUBGROUP_BROADCAST
// [quad, invocation]: each sees its own.
var<workgroup> sums: array<mat4x4<f32>, 32u * LANES>;

fn sum_of(i: u32, own: u32) -> mat4x4<f32> {
    return sums[i * LANES + own];
}

fn put_sum(i: u32, own: u32, sum: mat4x4<f32>) {
    sums[i * LANES + own] = sum;
}
#else
// Private, for browsers fill workgroup memory with zeros, which takes long to compile on CPUs.
var<private> own_sums: array<mat4x4<f32>, 32u>; // [quad]

fn sum_of(i: u32, own: u32) -> mat4x4<f32> {
    return own_sums[i];
}

fn put_sum(i: u32, own: u32, sum: mat4x4<f32>) {
    own_sums[i] = sum;
}
#endif

fn scaled(sum: mat4x4<f32>, by: vec4<f32>) -> mat4x4<f32> {
    return mat4x4(sum[0] * by.x, sum[1] * by.y, sum[2] * by.z, sum[3] * by.w);
}

// A row's sum and the values of eight turns from `t` on, weighted. One after the other: four sums
// are alive then.
fn add_row(sum: vec4<f32>, v: Eight, t: u32, r: u32) -> vec4<f32> {
    let a = fma(v.a, vec4<f32>(weights[t][r]), sum);
    let b = fma(v.b, vec4<f32>(weights[t + 1u][r]), a);
    let c = fma(v.c, vec4<f32>(weights[t + 2u][r]), b);
    let d = fma(v.d, vec4<f32>(weights[t + 3u][r]), c);
    let e = fma(v.e, vec4<f32>(weights[t + 4u][r]), d);
    let f = fma(v.f, vec4<f32>(weights[t + 5u][r]), e);
    let g = fma(v.g, vec4<f32>(weights[t + 6u][r]), f);
    return fma(v.h, vec4<f32>(weights[t + 7u][r]), g);
}

fn value_at(view: View, slot: u32, i: u32) -> vec4<f32> {
    return v_quad(value_base(view.kv_head, min(slot, view.end - 1u)), i);
}

// Quads `i` of eight turns' values, from turn `t` on.
#ifdef SUBGROUP_BROADCAST
fn values_at(view: View, t: u32, i: u32) -> Eight {
    // Eight lanes load one each.
    let v = value_at(view, view.begin + t + view.lane % 8u, i);
    return Eight(
        subgroupBroadcast(v, 0u), subgroupBroadcast(v, 1u), subgroupBroadcast(v, 2u), subgroupBroadcast(v, 3u),
        subgroupBroadcast(v, 4u), subgroupBroadcast(v, 5u), subgroupBroadcast(v, 6u), subgroupBroadcast(v, 7u),
    );
}
#else
fn turn_value(view: View, t: u32, i: u32) -> vec4<f32> {
    return value_at(view, slot_of(view.begin, t, view.own), i);
}

fn values_at(view: View, t: u32, i: u32) -> Eight {
    return Eight(
        turn_value(view, t, i), turn_value(view, t + 1u, i), turn_value(view, t + 2u, i), turn_value(view, t + 3u, i),
        turn_value(view, t + 4u, i), turn_value(view, t + 5u, i), turn_value(view, t + 6u, i), turn_value(view, t + 7u, i),
    );
}
#endif

// Quad `i` of the rows' sums and of what eight turns add.
fn add_turns(sum: mat4x4<f32>, view: View, t: u32, i: u32) -> mat4x4<f32> {
    let v = values_at(view, t, i);
    return mat4x4(add_row(sum[0], v, t, 0u), add_row(sum[1], v, t, 1u), add_row(sum[2], v, t, 2u), add_row(sum[3], v, t, 3u));
}

// The same of the tile's turns.
fn add_tile(sum: mat4x4<f32>, view: View, i: u32) -> mat4x4<f32> {
    let first = add_turns(sum, view, 0u, i);
#ifdef FEW_ROWS
    return first;
#else
    return add_turns(add_turns(add_turns(first, view, 8u, i), view, 16u, i), view, 24u, i);
#endif
}

#ifdef FEW_ROWS
// What all invocations know of the rows: their largest scores and sums of weights.
struct Known { peak: vec4<f32>, total: vec4<f32> }

// What they tell each other: [of LANES quads, invocation].
var<workgroup> told: array<mat4x4<f32>, LANES * LANES>;

// From what each knows.
fn united(own_peak: vec4<f32>, own_total: vec4<f32>, own: u32) -> Known {
    told[own] = mat4x4(own_peak, own_total, vec4<f32>(), vec4<f32>());
    workgroupBarrier();
    var all = Known(own_peak, vec4<f32>());
    for (var l = 0u; l < LANES; l += p.one) {
        all.peak = max(all.peak, told[l][0]);
    }
    for (var l = 0u; l < LANES; l += p.one) {
        all.total += told[l][1] * exp(told[l][0] - all.peak);
    }
    return all;
}

// All invocations' sums, each rescaled by its own factors, of eight quads from `first` on: an
// invocation gets one of them.
fn united_sum(first: u32, rescale: vec4<f32>, own: u32) -> mat4x4<f32> {
    workgroupBarrier();
    for (var i = 0u; i < LANES; i += p.one) {
        told[i * LANES + own] = scaled(own_sums[first + i], rescale);
    }
    workgroupBarrier();
    var sum = told[own * LANES];
    for (var l = 1u; l < LANES; l += p.one) {
        sum += told[own * LANES + l];
    }
    return sum;
}
#endif
