use super::{Adjustment, Params};
use crate::kernel::DispatchFixture;
use crate::kernels::sample::Choice;

/// The formula in f64.
pub fn adjust(fixture: &mut DispatchFixture) {
    let p: Params = fixture.params();
    let adjustments: Vec<Adjustment> = bytemuck::cast_slice(&fixture.buffers[1]).to_vec();
    for (row, choice) in Choice::of_rows(fixture).into_iter().enumerate() {
        let of_row = adjustments
            .iter()
            .take(p.adjustments_len as usize)
            .skip(choice.first_entry as usize)
            .take(choice.entries as usize);
        for a in of_row.filter(|a| a.token < p.vocab) {
            let at = row * p.vocab as usize + a.token as usize;
            let logit = &mut fixture.floats_mut(2)[at];
            let mut value = f64::from(*logit);
            if a.seen > 0 {
                let repetition = f64::from(choice.repetition);
                value = if value > 0.0 {
                    value / repetition
                } else {
                    value * repetition
                };
                value -=
                    f64::from(choice.presence) + f64::from(choice.frequency) * f64::from(a.seen);
            }
            *logit = (value + f64::from(a.bias)) as f32;
        }
    }
}
