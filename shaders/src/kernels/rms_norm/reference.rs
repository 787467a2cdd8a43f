use super::Params;
use crate::kernel::DispatchFixture;

/// The formula, the mean in f64.
pub fn rms_norm(fixture: &mut DispatchFixture) {
    let p: Params = fixture.params();
    let width = p.width as usize;
    let last = p.is_last_only == 1;
    for t in 0..if last { 1 } else { fixture.step.count as usize } {
        let source = if last {
            fixture.step.count as usize - 1
        } else {
            t
        };
        let x: Vec<f64> = fixture.floats(0)[source * width..][..width]
            .iter()
            .map(|&x| x.into())
            .collect();
        let mean = x.iter().map(|x| x * x).sum::<f64>() / width as f64;
        let scale = 1.0 / (mean + f64::from(p.eps)).sqrt();
        for (i, x) in x.iter().enumerate() {
            let weight = f64::from(fixture.floats(1)[i]);
            fixture.floats_mut(2)[t * width + i] = (x * scale * weight) as f32;
        }
    }
}
