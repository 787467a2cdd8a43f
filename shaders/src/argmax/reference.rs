use super::Params;
use crate::kernel::Scene;

/// The first index of the largest logit.
pub fn argmax(scene: &mut Scene) {
    let p: Params = scene.params();
    let logits = &scene.floats(0)[..p.vocab as usize];
    let mut best = 0;
    for (i, logit) in logits.iter().enumerate() {
        if *logit > logits[best] || logits[best].is_nan() {
            best = i;
        }
    }
    scene.buffers[1][0] = best as u32;
}
