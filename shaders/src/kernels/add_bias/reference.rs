use super::Params;
use crate::kernel::DispatchFixture;

/// The formula in f64.
pub fn add_bias(fixture: &mut DispatchFixture) {
    let p: Params = fixture.params();
    let (width, tokens) = (p.width as usize, fixture.step.count as usize);
    let bias = fixture.floats(0).to_vec();
    for vector in fixture.floats_mut(1).chunks_exact_mut(width).take(tokens) {
        for (y, bias) in vector.iter_mut().zip(&bias) {
            *y = (f64::from(*y) + f64::from(*bias)) as f32;
        }
    }
}
