use super::Params;
use crate::kernel::DispatchFixture;
use crate::kernels::sample::{NO_TOKEN, has_no_choice};

/// The first index of the largest logit.
pub fn argmax(fixture: &mut DispatchFixture) {
    let p: Params = fixture.params();
    let logits = &fixture.floats(0)[..p.vocab as usize];
    let mut best = 0;
    for (i, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = i;
        }
    }
    fixture.buffers[1][0] = if has_no_choice(logits) {
        NO_TOKEN
    } else {
        best as u32
    };
}
