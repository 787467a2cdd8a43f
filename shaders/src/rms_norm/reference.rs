use super::Params;
use crate::kernel::Scene;

/// The formula, the mean in f64.
pub fn rms_norm(scene: &mut Scene) {
    let p: Params = scene.params();
    let width = p.width as usize;
    let last = p.last == 1;
    for t in 0..if last { 1 } else { scene.step.count as usize } {
        let source = if last { scene.step.count as usize - 1 } else { t };
        let x: Vec<f64> = scene.floats(0)[source * width..][..width].iter().map(|&x| x.into()).collect();
        let mean = x.iter().map(|x| x * x).sum::<f64>() / width as f64;
        let scale = 1.0 / (mean + f64::from(p.eps)).sqrt();
        for (i, x) in x.iter().enumerate() {
            let weight = f64::from(scene.floats(1)[i]);
            scene.floats_mut(2)[t * width + i] = (x * scale * weight) as f32;
        }
    }
}
