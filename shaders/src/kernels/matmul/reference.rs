use super::{Epilogue, Params};
use crate::kernel::DispatchFixture;
use crate::weights::{GROUP, TILE, unpack_row};

/// The product, row by row, with sums in f64.
pub fn matmul(fixture: &mut DispatchFixture) {
    let p: Params = fixture.params();
    let Some(format) = fixture.format else { return };
    let width = p.groups_per_row as usize * GROUP;
    let tokens = if p.tokens == 0 {
        fixture.step.count
    } else {
        p.tokens
    } as usize;
    let x: Vec<Vec<f64>> = (0..tokens)
        .map(|token| x_row(fixture, &p, token, width))
        .collect();
    let products: Vec<Vec<f64>> = (0..p.rows as usize)
        .map(|row| {
            let weights = unpack_row(format, width, &fixture.buffers[0], row);
            let dot = |x: &Vec<f64>| weights.iter().zip(x).map(|(&w, &x)| f64::from(w) * x).sum();
            x.iter().map(dot).collect()
        })
        .collect();
    let is = |epilogue: Epilogue| p.epilogue == epilogue as u32;
    let rows = if is(Epilogue::SwiGlu) {
        products.len() / 2
    } else {
        products.len()
    };
    for row in 0..rows {
        for (token, &product) in products[row].iter().enumerate() {
            let at = token * p.out_width as usize + p.first_row as usize + row;
            let out = &mut fixture.floats_mut(4)[at];
            let value = if is(Epilogue::Accumulate) {
                f64::from(*out) + product
            } else if is(Epilogue::SwiGlu) {
                // Tile 2 i holds the gate of output tile i, tile 2 i + 1 what it gates.
                let tile = row / TILE;
                let gate = products[2 * tile * TILE + row % TILE][token];
                let up = products[(2 * tile + 1) * TILE + row % TILE][token];
                swiglu(gate, up)
            } else if is(Epilogue::SwiGluInPlace) {
                swiglu((*out).into(), product)
            } else {
                product
            };
            *out = value as f32;
        }
    }
}

/// A token's row of `x`, normalised where the parameters ask for it.
fn x_row(fixture: &DispatchFixture, p: &Params, token: usize, width: usize) -> Vec<f64> {
    let x = &fixture.floats(2)[(p.x_first as usize + token) * width..][..width];
    if p.is_normed == 0 {
        return x.iter().map(|&x| x.into()).collect();
    }
    let mean_square = x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / width as f64;
    let scale = 1.0 / (mean_square + f64::from(p.eps)).sqrt();
    let normed = |(&x, &norm): (&f32, &f32)| f64::from(x) * scale * f64::from(norm);
    x.iter().zip(fixture.floats(3)).map(normed).collect()
}

fn swiglu(gate: f64, up: f64) -> f64 {
    gate / (1.0 + (-gate).exp()) * up
}
