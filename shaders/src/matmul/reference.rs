use super::{Params, Put};
use crate::format::{GROUP, TILE};
use crate::kernel::Scene;
use crate::weights::unpack_row;

/// The product, row by row, sums in f64.
pub fn matmul(scene: &mut Scene) {
    let p: Params = scene.params();
    let Some(format) = scene.format else { return };
    let width = p.groups as usize * GROUP;
    let tokens = if p.tokens == 0 { scene.step.count } else { p.tokens } as usize;
    let pairs = p.put == Put::Pairs as u32;
    let gated = |gate: f64, up: f64| gate / (1.0 + (-gate).exp()) * up;
    let x: Vec<Vec<f64>> = (0..tokens)
        .map(|token| {
            let x = &scene.floats(2)[(p.x_first as usize + token) * width..][..width];
            let mean = x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / width as f64;
            let scale = 1.0 / (mean + f64::from(p.eps)).sqrt();
            let normalised = |(&x, &norm): (&f32, &f32)| f64::from(x) * scale * f64::from(norm);
            match p.normed == 1 {
                true => x.iter().zip(scene.floats(3)).map(normalised).collect(),
                false => x.iter().map(|&x| x.into()).collect(),
            }
        })
        .collect();
    let products: Vec<Vec<f64>> = (0..p.rows as usize)
        .map(|row| {
            let weights = unpack_row(format, width, &scene.buffers[0], row);
            let product = |token: usize| weights.iter().zip(&x[token]).map(|(&w, &x)| f64::from(w) * x).sum();
            (0..tokens).map(product).collect()
        })
        .collect();
    let rows = if pairs { products.len() / 2 } else { products.len() };
    let product = |tile: usize, row: usize, token: usize| products[tile * TILE + row % TILE][token];
    for (row, token) in (0..rows).flat_map(|row| (0..tokens).map(move |token| (row, token))) {
        let (tile, y) = (row / TILE, &mut scene.floats_mut(4)[token * p.y_width as usize + p.first as usize + row]);
        let value = match p.put {
            put if put == Put::Add as u32 => f64::from(*y) + product(tile, row, token),
            put if put == Put::Pairs as u32 => gated(product(2 * tile, row, token), product(2 * tile + 1, row, token)),
            put if put == Put::Gated as u32 => gated((*y).into(), product(tile, row, token)),
            _ => product(tile, row, token),
        };
        *y = value as f32;
    }
}
