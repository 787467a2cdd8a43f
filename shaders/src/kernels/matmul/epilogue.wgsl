// The epilogue: how the product is stored, by the number of the Rust enum `Epilogue`.
//
// 0, Store: out = product. 1, Accumulate: out += product. 2, SwiGlu: out = silu(gate) * up, where
// tiles of rows alternate between gate and up. 3, SwiGluInPlace: out = silu(out) * product.
// 4: the parameters say which.
override EPILOGUE: u32 = 4u;

// See group_count for the bound.
fn epilogue() -> u32 {
    return select(EPILOGUE, min(p.epilogue, arrayLength(&out)), EPILOGUE == 4u);
}

// SwiGLU (Shazeer 2020): silu(gate) * up, with silu(a) = a / (1 + exp(-a)).
fn swiglu(gate: f32, up: f32) -> f32 {
    // The exponent is capped because exp's overflow to infinity differs between drivers.
    return gate / (1.0 + exp(min(-gate, 80.0))) * up;
}

fn store(token: u32, row: u32, value: f32) {
    let at = token * p.out_width + p.first_row + row;
    switch epilogue() {
        case 1u: { out[at] += value; }
        case 3u: { out[at] = swiglu(out[at], value); }
        default: { out[at] = value; }
    }
}

// Stores a token's products `a` and `b` with row `row` of tiles 2 `tile_pair` and
// 2 `tile_pair` + 1.
fn store_pair(token: u32, tokens: u32, tile_pair: u32, row: u32, a: f32, b: f32) {
    if token >= tokens {
        return;
    }
    if epilogue() == 2u {
        let out_row = tile_pair * 32u + row;
        if out_row < p.rows / 2u {
            store(token, out_row, swiglu(a, b));
        }
        return;
    }
    let out_row = tile_pair * 64u + row;
    if out_row < p.rows {
        store(token, out_row, a);
    }
    if out_row + 32u < p.rows {
        store(token, out_row + 32u, b);
    }
}
