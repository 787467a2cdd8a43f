use super::Params;
use crate::kernel::{Case, Scene, Step};
use crate::testing::{Random, words};

pub fn cases() -> Vec<Case> {
    // The largest logit at these places.
    [(49_152, vec![31_000]), (128_256, vec![128_255, 128_000]), (300, vec![0]), (7, vec![6, 2, 4])]
        .map(|(vocab, peaks)| {
            let mut logits = Random::new(vocab.into()).activations(vocab as usize);
            peaks.iter().for_each(|&i: &usize| logits[i] = 1e4);
            // Vectors of four are read; what lies beyond the vocabulary does not count.
            logits.resize(logits.len().next_multiple_of(4), 1e9);
            let params = Params { vocab, reserved0: 0, reserved1: 0, reserved2: 0 };
            Case {
                name: format!("{vocab} logits, {} equal", peaks.len()),
                variant: 0,
                overrides: Vec::new(),
                scene: Scene {
                    params: bytemuck::bytes_of(&params).to_vec(),
                    step: Step::new(0, 1),
                    format: None,
                    buffers: vec![words(&logits), vec![0; 4]],
                    workgroups: [1, 1, 1],
                },
                nmse: 0.0,
            }
        })
        .to_vec()
}
