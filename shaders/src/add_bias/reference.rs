use super::Params;
use crate::kernel::Scene;

/// The formula in f64.
pub fn add_bias(scene: &mut Scene) {
    let p: Params = scene.params();
    let (width, tokens) = (p.width as usize, scene.step.count as usize);
    let bias = scene.floats(0).to_vec();
    for vector in scene.floats_mut(1).chunks_exact_mut(width).take(tokens) {
        for (y, bias) in vector.iter_mut().zip(&bias) {
            *y = (f64::from(*y) + f64::from(*bias)) as f32;
        }
    }
}
