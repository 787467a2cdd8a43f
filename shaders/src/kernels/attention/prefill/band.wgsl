// What the invocations of a band of `wide.wgsl` do together.

// The sum of a band's values, or the largest.
fn folded(value: vec4<f32>, lane: u32, add: bool) -> vec4<f32> {
    weights[lane] = value;
    for (var half = PLACES / 2u; half > 0u; half >>= 1u) {
        workgroupBarrier();
        if lane % PLACES < half {
            let a = weights[lane];
            let b = weights[lane + half];
            weights[lane] = select(max(a, b), a + b, add);
        }
    }
    workgroupBarrier();
    let all = weights[lane / PLACES * PLACES];
    workgroupBarrier();
    return all;
}

fn max_all(value: vec4<f32>, lane: u32) -> vec4<f32> {
    return folded(value, lane, false);
}

fn sum_all(value: vec4<f32>, lane: u32) -> vec4<f32> {
    return folded(value, lane, true);
}

// The scores of a band's four rows with two positions.
struct Two { a: vec4<f32>, b: vec4<f32> }

// Adds what quad i of the rows does with quads of two keys.
fn with_quads(s: Two, band: u32, i: u32, a: vec4<f32>, b: vec4<f32>) -> Two {
    let at = i * ROWS + 4u * band;
    let q0 = queries[at];
    let q1 = queries[at + 1u];
    let q2 = queries[at + 2u];
    let q3 = queries[at + 3u];
    return Two(with_products(s.a, q0, q1, q2, q3, a), with_products(s.b, q0, q1, q2, q3, b));
}

// The scores with the keys that begin at two places.
fn scores_at(band: u32, base_a: u32, base_b: u32) -> Two {
    var sum = Two();
    // Eight loads on their way together. A scale is good for 16 floats at least, and so is a head's
    // length a multiple.
    for (var i = 0u; i < HEAD_DIM / 4u; i += 4u) {
        let a0 = k_quad(base_a, i);
        let a1 = k_quad(base_a, i + 1u);
        let a2 = k_quad(base_a, i + 2u);
        let a3 = k_quad(base_a, i + 3u);
        let b0 = k_quad(base_b, i);
        let b1 = k_quad(base_b, i + 1u);
        let b2 = k_quad(base_b, i + 2u);
        let b3 = k_quad(base_b, i + 3u);
        var s = Two();
        if K_VALUES < 4u {
            s = sum;
        }
        s = with_quads(s, band, i, a0, b0);
        s = with_quads(s, band, i + 1u, a1, b1);
        s = with_quads(s, band, i + 2u, a2, b2);
        s = with_quads(s, band, i + 3u, a3, b3);
        if K_VALUES >= 4u {
            s = Two(fma(s.a, vec4<f32>(k_scale(base_a, i)), sum.a), fma(s.b, vec4<f32>(k_scale(base_b, i)), sum.b));
        }
        sum = s;
    }
    return sum;
}

// Whether rounds of four positions an invocation end with the last position.
override EVEN: bool = WIDTH % (4u * (PLACES / (HEAD_DIM / 4u))) == 0u;

// The weight of position i of a band, whose weights begin at `first`; beyond the last there is
// none.
fn weight_at(first: u32, i: u32) -> vec4<f32> {
    if EVEN {
        return weights[first + i];
    }
    return select(vec4<f32>(), weights[first + min(i, WIDTH - 1u)], i < WIDTH);
}

// One row's sums over all turns, to its state.
fn put_sums(sum: vec4<f32>, lane: u32, quads: u32, at: u32, known: bool) {
    weights[lane] = sum;
    workgroupBarrier();
    let place = lane % PLACES;
    if place < quads && known {
        var all = weights[lane];
        for (var i = quads; i < PLACES / quads * quads; i += quads) {
            all += weights[lane + i];
        }
        put_state4(at + place * 4u, all);
    }
    workgroupBarrier();
}
