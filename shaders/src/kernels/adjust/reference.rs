use super::{Adjustment, Params};
use crate::kernel::DispatchFixture;
use crate::kernels::sample::Choice;

/// The formula in f64.
pub fn adjust(fixture: &mut DispatchFixture) {
    let p: Params = fixture.params();
    let choice: Choice =
        bytemuck::pod_read_unaligned(bytemuck::cast_slice(&fixture.buffers[0][..12]));
    let adjustments: Vec<Adjustment> = bytemuck::cast_slice(&fixture.buffers[1]).to_vec();
    for a in adjustments
        .iter()
        .take(choice.entries as usize)
        .filter(|a| a.token < p.vocab)
    {
        let logit = &mut fixture.floats_mut(2)[a.token as usize];
        let mut value = f64::from(*logit);
        if a.seen > 0 {
            let repetition = f64::from(choice.repetition);
            value = if value > 0.0 {
                value / repetition
            } else {
                value * repetition
            };
            value -= f64::from(choice.presence) + f64::from(choice.frequency) * f64::from(a.seen);
        }
        *logit = (value + f64::from(a.bias)) as f32;
    }
}
