// What the invocations of a band of `wide.wgsl` do together.

// The largest of a band's values.
fn max_all(value: vec4<f32>, lane: u32) -> vec4<f32> {
    lanes[lane] = value;
    for (var half = WIDTH / 2u; half > 0u; half >>= 1u) {
        workgroupBarrier();
        if lane % WIDTH < half {
            lanes[lane] = max(lanes[lane], lanes[lane + half]);
        }
    }
    workgroupBarrier();
    let all = lanes[lane / WIDTH * WIDTH];
    workgroupBarrier();
    return all;
}

// Their sum.
fn sum_all(value: vec4<f32>, lane: u32) -> vec4<f32> {
    lanes[lane] = value;
    for (var half = WIDTH / 2u; half > 0u; half >>= 1u) {
        workgroupBarrier();
        if lane % WIDTH < half {
            lanes[lane] += lanes[lane + half];
        }
    }
    workgroupBarrier();
    let all = lanes[lane / WIDTH * WIDTH];
    workgroupBarrier();
    return all;
}

// The products of a band's four rows' quad i with a piece of a key.
fn dots(band: u32, i: u32, k: vec4<f32>) -> vec4<f32> {
    let at = i * ROWS + 4u * band;
    return vec4<f32>(dot(queries[at], k), dot(queries[at + 1u], k), dot(queries[at + 2u], k), dot(queries[at + 3u], k));
}

fn scores_at(band: u32, base: u32) -> vec4<f32> {
    var scores = vec4<f32>();
    // Eight loads on their way together. A scale is good for 16 floats at least, and so is a head's length a multiple.
    let last = HEAD_DIM / 4u - 4u;
    for (var i = 0u; i <= last; i += 8u) {
        let j = min(i + 4u, last);
        let a = k_quad(base, i);
        let b = k_quad(base, i + 1u);
        let c = k_quad(base, i + 2u);
        let d = k_quad(base, i + 3u);
        let e = k_quad(base, j);
        let f = k_quad(base, j + 1u);
        let g = k_quad(base, j + 2u);
        let h = k_quad(base, j + 3u);
        let scale = k_scale(base, i);
        let scale2 = select(0.0, k_scale(base, j), j > i);
        let low = (dots(band, i, a) + dots(band, i + 1u, b)) + (dots(band, i + 2u, c) + dots(band, i + 3u, d));
        let high = (dots(band, j, e) + dots(band, j + 1u, f)) + (dots(band, j + 2u, g) + dots(band, j + 3u, h));
        scores += low * scale + high * scale2;
    }
    return scores;
}

// One row's sums over all turns, to its state.
fn put_sums(sum: vec4<f32>, lane: u32, quads: u32, at: u32, known: bool) {
    lanes[lane] = sum;
    workgroupBarrier();
    let place = lane % WIDTH;
    if place < quads && known {
        var all = lanes[lane];
        for (var i = quads; i < WIDTH / quads * quads; i += quads) {
            all += lanes[lane + i];
        }
        put_state4(at + place * 4u, all);
    }
    workgroupBarrier();
}
