use super::Params;
use crate::kernel::Scene;

/// The formula in f64.
pub fn swiglu(scene: &mut Scene) {
    let p: Params = scene.params();
    for i in 0..(p.width * 4 * scene.step.count) as usize {
        let (up, gate) = (f64::from(scene.floats(0)[i]), f64::from(scene.floats(1)[i]));
        scene.floats_mut(1)[i] = (gate / (1.0 + (-gate).exp()) * up) as f32;
    }
}
