// The sums of an invocation of gemm: one row with all of its tokens.

// Adds the products of a row's four columns `w` with the same columns of four tokens.
fn add_columns4(sum: Float4, w: Float4, x0: Float4, x1: Float4, x2: Float4, x3: Float4) -> Float4 {
    return fma(
        Float4(w.w), x3,
        fma(Float4(w.z), x2, fma(Float4(w.y), x1, fma(Float4(w.x), x0, sum))),
    );
}

// The same for all tokens of the invocation.
fn add_columns(sum: Tokens, w: Float4, x0: Tokens, x1: Tokens, x2: Tokens, x3: Tokens) -> Tokens {
#ifdef F16
    return add_columns4(sum, w, x0, x1, x2, x3);
#else
    return Tokens(
        add_columns4(sum.first, w, x0.first, x1.first, x2.first, x3.first),
        add_columns4(sum.second, w, x0.second, x1.second, x2.second, x3.second),
    );
#endif
}

// The start of a round's sums: 0 in f16, else the sums so far.
fn round_start(sums: TokenSums) -> Tokens {
#ifdef F16
    return Tokens();
#else
    return sums;
#endif
}

// The sums after a round.
fn round_end(sums: TokenSums, round: Tokens) -> TokenSums {
#ifdef F16
    return sums + vec4<f32>(round);
#else
    return round;
#endif
}

fn store_four_tokens(
    token: u32, tokens: u32, tile_pair: u32, row: u32, a: vec4<f32>, b: vec4<f32>,
) {
    for (var i = 0u; i < 4u; i++) {
        store_pair(token + i, tokens, tile_pair, row, a[i], b[i]);
    }
}

// Stores the sums of a row of both tiles of a pair.
fn store_tokens(token: u32, tokens: u32, tile_pair: u32, row: u32, a: TokenSums, b: TokenSums) {
#ifdef F16
    store_four_tokens(token, tokens, tile_pair, row, a, b);
#else
    store_four_tokens(token, tokens, tile_pair, row, a.first, b.first);
    store_four_tokens(token + 4u, tokens, tile_pair, row, a.second, b.second);
#endif
}
