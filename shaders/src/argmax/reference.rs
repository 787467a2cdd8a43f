use super::Params;
use crate::kernel::Scene;
use crate::sample::{NO_TOKEN, has_no_choice};

/// The first index of the largest logit.
pub fn argmax(scene: &mut Scene) {
    let p: Params = scene.params();
    let logits = &scene.floats(0)[..p.vocab as usize];
    let mut best = 0;
    for (i, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = i;
        }
    }
    scene.buffers[1][0] = if has_no_choice(logits) { NO_TOKEN } else { best as u32 };
}
