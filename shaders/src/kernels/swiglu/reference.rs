use super::Params;
use crate::kernel::DispatchFixture;

/// The formula in f64.
pub fn swiglu(fixture: &mut DispatchFixture) {
    let p: Params = fixture.params();
    let (width, tokens) = (p.width as usize, fixture.step.count as usize);
    for at in 0..width * tokens {
        let float = |buffer: usize, at: usize| f64::from(fixture.floats(buffer)[at]);
        let gate = float(3, at) + float(1, at % width);
        let up = float(0, at) + float(2, at % width);
        let value = gate / (1.0 + (-gate).exp()) * up;
        fixture.floats_mut(3)[at] = value as f32;
    }
}
