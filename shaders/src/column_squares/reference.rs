use super::Params;
use crate::kernel::Scene;

/// The formula, the sum in f64.
pub fn column_squares(scene: &mut Scene) {
    let p: Params = scene.params();
    let (width, tokens) = (p.width as usize, scene.step.count as usize);
    for column in 0..width {
        let squares = (0..tokens).map(|t| f64::from(scene.floats(0)[t * width + column]).powi(2)).sum::<f64>();
        let sum = &mut scene.floats_mut(1)[column];
        *sum = (f64::from(*sum) + squares) as f32;
    }
}
