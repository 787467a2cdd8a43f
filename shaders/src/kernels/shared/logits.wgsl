// Logits of several rows, loaded four at a time.

@group(0) @binding(3) var<storage, read> logits: array<vec4<f32>>;

// Whether rows after the first may begin inside a vector: their length is no multiple of 4.
override UNALIGNED: bool = false;

// Logit `id` of row `row`.
fn load_logit(row: u32, id: u32) -> f32 {
    let at = row * p.vocab + id;
    return logits[at / 4u][at % 4u];
}

// Logits 4 `i` to 4 `i` + 3 of row `row`. Elements beyond the vocabulary are arbitrary.
fn load_logits(row: u32, i: u32) -> vec4<f32> {
    if UNALIGNED {
        let ids = min(vec4<u32>(4u * i) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(p.vocab - 1u));
        return vec4<f32>(
            load_logit(row, ids.x), load_logit(row, ids.y),
            load_logit(row, ids.z), load_logit(row, ids.w),
        );
    }
    return logits[row * (p.vocab / 4u) + i];
}
