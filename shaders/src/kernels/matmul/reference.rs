use super::{Epilogue, Params};
use crate::kernel::DispatchFixture;
use crate::weights::unpack_row;
use crate::weights::{GROUP, TILE};

/// The product, row by row, sums in f64.
pub fn matmul(fixture: &mut DispatchFixture) {
    let p: Params = fixture.params();
    let Some(format) = fixture.format else { return };
    let width = p.groups as usize * GROUP;
    let tokens = if p.tokens == 0 {
        fixture.step.count
    } else {
        p.tokens
    } as usize;
    let pairs = p.epilogue == Epilogue::SwiGlu as u32;
    let gated = |gate: f64, up: f64| gate / (1.0 + (-gate).exp()) * up;
    let x: Vec<Vec<f64>> = (0..tokens)
        .map(|token| {
            let x = &fixture.floats(2)[(p.x_first as usize + token) * width..][..width];
            let mean = x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / width as f64;
            let scale = 1.0 / (mean + f64::from(p.eps)).sqrt();
            let normalised = |(&x, &norm): (&f32, &f32)| f64::from(x) * scale * f64::from(norm);
            match p.normed == 1 {
                true => x.iter().zip(fixture.floats(3)).map(normalised).collect(),
                false => x.iter().map(|&x| x.into()).collect(),
            }
        })
        .collect();
    let products: Vec<Vec<f64>> = (0..p.rows as usize)
        .map(|row| {
            let weights = unpack_row(format, width, &fixture.buffers[0], row);
            let product = |token: usize| {
                weights
                    .iter()
                    .zip(&x[token])
                    .map(|(&w, &x)| f64::from(w) * x)
                    .sum()
            };
            (0..tokens).map(product).collect()
        })
        .collect();
    let rows = if pairs {
        products.len() / 2
    } else {
        products.len()
    };
    let product = |tile: usize, row: usize, token: usize| products[tile * TILE + row % TILE][token];
    for (row, token) in (0..rows).flat_map(|row| (0..tokens).map(move |token| (row, token))) {
        let (tile, y) = (
            row / TILE,
            &mut fixture.floats_mut(4)[token * p.y_width as usize + p.first as usize + row],
        );
        let value = match p.epilogue {
            epilogue if epilogue == Epilogue::Accumulate as u32 => {
                f64::from(*y) + product(tile, row, token)
            }
            epilogue if epilogue == Epilogue::SwiGlu as u32 => gated(
                product(2 * tile, row, token),
                product(2 * tile + 1, row, token),
            ),
            epilogue if epilogue == Epilogue::SwiGluInPlace as u32 => {
                gated((*y).into(), product(tile, row, token))
            }
            _ => product(tile, row, token),
        };
        *y = value as f32;
    }
}
