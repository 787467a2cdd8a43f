// Many tokens, for CPUs: eight rows of four tokens an invocation. Weights are loaded once for the tokens, x once for the rows.

// What a row's group adds for four tokens, whose inputs' sums are the rows of `s` and `t`.
fn dot_tokens(w: Stored, v0: Group, v1: Group, v2: Group, v3: Group, s: vec4<f32>, t: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(
        dot_stored(w, v0, vec2<f32>(s.x, t.x)), dot_stored(w, v1, vec2<f32>(s.y, t.y)),
        dot_stored(w, v2, vec2<f32>(s.z, t.z)), dot_stored(w, v3, vec2<f32>(s.w, t.w)),
    );
}

fn put_tokens(token: u32, tokens: u32, pair: u32, lane: u32, a: vec4<f32>, b: vec4<f32>) {
    put_pair(token, tokens, pair, lane, a.x, b.x);
    put_pair(token + 1u, tokens, pair, lane, a.y, b.y);
    put_pair(token + 2u, tokens, pair, lane, a.z, b.z);
    put_pair(token + 3u, tokens, pair, lane, a.w, b.w);
}

@compute @workgroup_size(32)
fn matmul(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let tokens = token_count();
    let token = group.z * 4u;
    if token >= tokens {
        return;
    }
    let tile = unit_of(group) * 8u;
    let b0 = base_of(tile, lane);
    let b1 = base_of(tile + 1u, lane);
    let b2 = base_of(tile + 2u, lane);
    let b3 = base_of(tile + 3u, lane);
    let b4 = base_of(tile + 4u, lane);
    let b5 = base_of(tile + 5u, lane);
    let b6 = base_of(tile + 6u, lane);
    let b7 = base_of(tile + 7u, lane);
    let last = tokens - 1u;
    let width = p.groups * 8u;
    let x0 = (p.x_first + token) * width;
    let x1 = (p.x_first + min(token + 1u, last)) * width;
    let x2 = (p.x_first + min(token + 2u, last)) * width;
    let x3 = (p.x_first + min(token + 3u, last)) * width;
    var a0 = vec4<f32>();
    var a1 = vec4<f32>();
    var a2 = vec4<f32>();
    var a3 = vec4<f32>();
    var a4 = vec4<f32>();
    var a5 = vec4<f32>();
    var a6 = vec4<f32>();
    var a7 = vec4<f32>();
    let groups = row_groups();
    for (var g = 0u; g < groups; g++) {
        let v0 = load_x(x0 + g * 8u);
        let v1 = load_x(x1 + g * 8u);
        let v2 = load_x(x2 + g * 8u);
        let v3 = load_x(x3 + g * 8u);
        let sums0 = sums_of(v0);
        let sums1 = sums_of(v1);
        let sums2 = sums_of(v2);
        let sums3 = sums_of(v3);
        let s = vec4<f32>(sums0.x, sums1.x, sums2.x, sums3.x);
        let t = vec4<f32>(sums0.y, sums1.y, sums2.y, sums3.y);
        a0 += dot_tokens(load_stored(b0, g), v0, v1, v2, v3, s, t);
        a1 += dot_tokens(load_stored(b1, g), v0, v1, v2, v3, s, t);
        a2 += dot_tokens(load_stored(b2, g), v0, v1, v2, v3, s, t);
        a3 += dot_tokens(load_stored(b3, g), v0, v1, v2, v3, s, t);
        a4 += dot_tokens(load_stored(b4, g), v0, v1, v2, v3, s, t);
        a5 += dot_tokens(load_stored(b5, g), v0, v1, v2, v3, s, t);
        a6 += dot_tokens(load_stored(b6, g), v0, v1, v2, v3, s, t);
        a7 += dot_tokens(load_stored(b7, g), v0, v1, v2, v3, s, t);
    }
    put_tokens(token, tokens, tile / 2u, lane, a0, a1);
    put_tokens(token, tokens, tile / 2u + 1u, lane, a2, a3);
    put_tokens(token, tokens, tile / 2u + 2u, lane, a4, a5);
    put_tokens(token, tokens, tile / 2u + 3u, lane, a6, a7);
}
