use super::{Choice, Params};
use crate::kernel::{Case, Scene, Step};
use crate::testing::{Random, words};

pub fn cases() -> Vec<Case> {
    let open = Choice { temperature: 1.0, top_p: 1.0, ..Choice::default() };
    [
        (49_152, Choice { temperature: 0.6, top_p: 0.9, uniform: 0.3, ..open }),
        (49_152, Choice { temperature: 1.5, top_k: 40, uniform: 0.7, ..open }),
        (49_152, Choice { temperature: 2.0, top_k: 50, top_p: 0.5, min_p: 0.05, uniform: 0.95, ..open }),
        (128_256, Choice { uniform: 0.999, ..open }),
        (128_256, Choice { min_p: 0.2, uniform: 0.5, ..open }),
        (1000, Choice { uniform: 0.0, ..open }),
        (10, Choice { top_k: 1, uniform: 0.9, ..open }),
    ]
    .map(|(vocab, choice)| {
        let mut random = Random::new(vocab.into());
        let mut logits: Vec<f32> = (0..vocab).map(|_| 3.0 * random.normal()).collect();
        // What fills the last four up is no token.
        logits.resize(logits.len().next_multiple_of(4), 1e9);
        let params = Params { vocab, reserved0: 0, reserved1: 0, reserved2: 0 };
        Case {
            name: format!(
                "{vocab} logits temperature {} top-k {} top-p {} min-p {}",
                choice.temperature, choice.top_k, choice.top_p, choice.min_p
            ),
            variant: 0,
            overrides: Vec::new(),
            scene: Scene {
                params: bytemuck::bytes_of(&params).to_vec(),
                step: Step::new(0, 1),
                format: None,
                buffers: vec![
                    bytemuck::cast_slice(bytemuck::bytes_of(&choice)).to_vec(),
                    words(&logits),
                    vec![0; logits.len()],
                    vec![0; 4],
                ],
                workgroups: [1, 1, 1],
            },
            nmse: 1e-10,
        }
    })
    .to_vec()
}
