// What becomes of the product. 0: y = product, 1: y += product, 2: tiles alternate, 3: y = silu(y)
// * product; 4: what the parameters say.
override EPILOGUE: u32 = 4u;

// A bound that is not of uniforms alone: see row_groups.
fn what_becomes() -> u32 {
    return select(EPILOGUE, min(p.epilogue, arrayLength(&y)), EPILOGUE == 4u);
}

fn gated(gate: f32, up: f32) -> f32 {
    // exp overflows to infinity for large arguments on some drivers and not on others: keep clear
    // of it.
    return gate / (1.0 + exp(min(-gate, 80.0))) * up;
}

fn put(token: u32, row: u32, value: f32) {
    let at = token * p.y_width + p.first + row;
    switch what_becomes() {
        case 1u: { y[at] += value; }
        case 3u: { y[at] = gated(y[at], value); }
        default: { y[at] = value; }
    }
}

// Stores what row `lane` of tiles 2 `pair` and 2 `pair` + 1 gave for a token.
fn store_pair(token: u32, tokens: u32, pair: u32, lane: u32, a: f32, b: f32) {
    if token >= tokens {
        return;
    }
    if what_becomes() == 2u {
        let row = pair * 32u + lane;
        if row < p.rows / 2u {
            put(token, row, gated(a, b));
        }
        return;
    }
    let row = pair * 64u + lane;
    if row < p.rows {
        put(token, row, a);
    }
    if row + 32u < p.rows {
        put(token, row + 32u, b);
    }
}
