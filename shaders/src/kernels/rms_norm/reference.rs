use super::{LAST_ROW, LISTED_ROWS, Params};
use crate::kernel::DispatchFixture;

/// The formula, the mean in f64.
pub fn rms_norm(fixture: &mut DispatchFixture) {
    let p: Params = fixture.params();
    let width = p.width as usize;
    let count = fixture.step.count as usize;
    let tokens: Vec<usize> = match p.rows {
        LAST_ROW => vec![count - 1],
        LISTED_ROWS => fixture.buffers[2][..fixture.step.outputs as usize]
            .iter()
            .map(|&token| token as usize)
            .collect(),
        _ => (0..count).collect(),
    };
    for (row, token) in tokens.into_iter().enumerate() {
        if token >= count {
            continue;
        }
        let x: Vec<f64> = fixture.floats(0)[token * width..][..width]
            .iter()
            .map(|&x| x.into())
            .collect();
        let mean = x.iter().map(|x| x * x).sum::<f64>() / width as f64;
        let scale = 1.0 / (mean + f64::from(p.eps)).sqrt();
        for (i, x) in x.iter().enumerate() {
            let weight = f64::from(fixture.floats(1)[i]);
            fixture.floats_mut(3)[row * width + i] = (x * scale * weight) as f32;
        }
    }
}
