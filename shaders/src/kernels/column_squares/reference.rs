use super::Params;
use crate::kernel::DispatchFixture;

/// The formula, the sum in f64.
pub fn column_squares(fixture: &mut DispatchFixture) {
    let p: Params = fixture.params();
    let (width, tokens) = (p.width as usize, fixture.step.count as usize);
    for column in 0..width {
        let squares = (0..tokens)
            .map(|t| f64::from(fixture.floats(0)[t * width + column]).powi(2))
            .sum::<f64>();
        let sum = &mut fixture.floats_mut(1)[column];
        *sum = (f64::from(*sum) + squares) as f32;
    }
}
