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
    let products: Vec<Vec<f64>> = (0..p.rows as usize)
        .map(|row| {
            let weights = unpack_row(format, width, &scene.buffers[0], row);
            let product = |token: usize| {
                let x = &scene.floats(2)[(p.x_first as usize + token) * width..][..width];
                weights.iter().zip(x).map(|(&w, &x)| f64::from(w) * f64::from(x)).sum()
            };
            (0..tokens).map(product).collect()
        })
        .collect();
    let rows = if pairs { products.len() / 2 } else { products.len() };
    for row in 0..rows {
        for token in 0..tokens {
            let product = |tile: usize| products[tile * TILE + row % TILE][token];
            let y = &mut scene.floats_mut(3)[token * p.y_width as usize + p.first as usize + row];
            let value = match p.put {
                put if put == Put::Add as u32 => f64::from(*y) + product(row / TILE),
                put if put == Put::Pairs as u32 => gated(product(row / TILE * 2), product(row / TILE * 2 + 1)),
                put if put == Put::Gated as u32 => gated((*y).into(), product(row / TILE)),
                _ => product(row / TILE),
            };
            *y = value as f32;
        }
    }
}
