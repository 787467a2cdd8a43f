use super::Params;
use crate::kernel::DispatchFixture;
use crate::kernels::sample::{Choice, NO_TOKEN, has_no_choice};

/// The first index of the largest logit.
pub fn argmax(fixture: &mut DispatchFixture) {
    let p: Params = fixture.params();
    let vocab = p.vocab as usize;
    for (row, choice) in Choice::of_rows(fixture).into_iter().enumerate() {
        if choice.temperature > 0.0 || choice.chosen >= p.chosen_len {
            continue;
        }
        let logits = &fixture.floats(1)[row * vocab..][..vocab];
        let mut best = 0;
        for (i, logit) in logits.iter().enumerate() {
            if *logit > logits[best] {
                best = i;
            }
        }
        let token = if has_no_choice(logits) {
            NO_TOKEN
        } else {
            best as u32
        };
        fixture.buffers[2][choice.chosen as usize] = token;
    }
}
