// How weights and tokens get into gemm's workgroup memory, and out of it.

// The slot of tokens 4 `token_vec4` on. It differs between vectors of columns, because otherwise
// the invocations that write neighbouring columns would write to one memory bank.
fn bank_slot(token_vec4: u32, column_vec4: u32) -> u32 {
    return token_vec4 ^ (column_vec4 * TOKEN_VEC4S);
}

fn to_token_float4(v: vec4<f32>) -> Float4 {
#ifdef F16
    return clamp(vec4<f16>(v), vec4<f16>(-65504.0h), vec4<f16>(65504.0h));
#else
    return v;
#endif
}

// Writes half a group of a row: code * scale + shift, at vectors of columns from `column_vec4` on.
fn stage_half_group(
    row: u32, column_vec4: u32,
    a: Float4, b: Float4, c: Float4, d: Float4,
    scale: f32, shift: f32,
) {
    let s = Float4(vec4<f32>(scale));
    let t = Float4(vec4<f32>(shift));
    let tile = row / 32u;
    let pair = row / 2u % 16u;
    w_tile[column_vec4][tile][pair][row % 2u] = fma(a, s, t);
    w_tile[column_vec4 + 1u][tile][pair][row % 2u] = fma(b, s, t);
    w_tile[column_vec4 + 2u][tile][pair][row % 2u] = fma(c, s, t);
    w_tile[column_vec4 + 3u][tile][pair][row % 2u] = fma(d, s, t);
}

// Writes the round's part of a group of a row: the half from vector `first` on, or all of it.
fn stage_weights(row: u32, w: ScaledGroup, first: u32) {
#ifdef F16
    stage_half_group(
        row, 0u, w.codes.v0, w.codes.v1, w.codes.v2, w.codes.v3, w.scale.x, w.shift.x,
    );
    stage_half_group(
        row, 4u, w.codes.v4, w.codes.v5, w.codes.v6, w.codes.v7, w.scale.y, w.shift.y,
    );
#else
    if first == 0u {
        stage_half_group(
            row, 0u, w.codes.v0, w.codes.v1, w.codes.v2, w.codes.v3, w.scale.x, w.shift.x,
        );
    } else {
        stage_half_group(
            row, 0u, w.codes.v4, w.codes.v5, w.codes.v6, w.codes.v7, w.scale.y, w.shift.y,
        );
    }
#endif
}

// Transposes four columns of four tokens, which lie `stride` vectors apart in x.
fn stage_tokens(at: u32, stride: u32, column_vec4: u32, token_vec4: u32) {
    let t0 = in_f16_order(x[at]);
    let t1 = in_f16_order(x[at + stride]);
    let t2 = in_f16_order(x[at + 2u * stride]);
    let t3 = in_f16_order(x[at + 3u * stride]);
    let slot = bank_slot(token_vec4, column_vec4);
    x_tile[column_vec4][0][slot] = to_token_float4(vec4<f32>(t0.x, t1.x, t2.x, t3.x));
    x_tile[column_vec4][1][slot] = to_token_float4(vec4<f32>(t0.y, t1.y, t2.y, t3.y));
    x_tile[column_vec4][2][slot] = to_token_float4(vec4<f32>(t0.z, t1.z, t2.z, t3.z));
    x_tile[column_vec4][3][slot] = to_token_float4(vec4<f32>(t0.w, t1.w, t2.w, t3.w));
}

// One column of the invocation's tokens.
fn load_column(column_vec4: u32, column: u32, slot: u32) -> Tokens {
#ifdef F16
    return x_tile[column_vec4][column][slot];
#else
    return Tokens(x_tile[column_vec4][column][slot], x_tile[column_vec4][column][slot + 1u]);
#endif
}
