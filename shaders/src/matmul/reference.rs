use super::Params;
use crate::format::GROUP;
use crate::kernel::Scene;
use crate::weights::unpack_row;

/// The product, row by row, sums in f64.
pub fn matmul(scene: &mut Scene) {
    let p: Params = scene.params();
    let Some(format) = scene.format else { return };
    let width = p.groups as usize * GROUP;
    let tokens = if p.tokens == 0 { scene.step.count } else { p.tokens } as usize;
    for row in 0..p.rows as usize {
        let weights = unpack_row(format, width, &scene.buffers[0], row);
        for token in 0..tokens {
            let x = &scene.floats(1)[(p.x_first as usize + token) * width..][..width];
            let sum: f64 = weights.iter().zip(x).map(|(&w, &x)| f64::from(w) * f64::from(x)).sum();
            let y = &mut scene.floats_mut(2)[token * p.y_width as usize + p.first as usize + row];
            *y = if p.add == 1 { *y + sum as f32 } else { sum as f32 };
        }
    }
}
