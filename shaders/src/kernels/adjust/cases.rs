use super::{Adjustment, FORBID, Params};
use crate::kernel::{Case, DispatchFixture, Step};
use crate::kernels::sample::Choice;
use crate::testing::{Random, words};

pub fn cases() -> Vec<Case> {
    [(300, 5), (49_152, 200)]
        .map(|(vocab, entries)| {
            let mut random = Random::new(vocab.into());
            let mut adjustments: Vec<Adjustment> = (0..entries)
                .map(|i| Adjustment {
                    token: i * (vocab / entries),
                    seen: i % 4,
                    bias: random.normal(),
                    reserved: 0,
                })
                .collect();
            adjustments[1].bias = -40.0;
            adjustments[2].token = vocab;
            // One entry more than `entries` says. It must have no effect.
            adjustments.push(Adjustment {
                token: 1,
                seen: 3,
                bias: FORBID,
                reserved: 0,
            });
            let choice = Choice {
                repetition: 1.3,
                presence: 0.5,
                frequency: 0.25,
                entries,
                ..Choice::default()
            };
            let params = Params {
                vocab,
                reserved0: 0,
                reserved1: 0,
                reserved2: 0,
            };
            Case {
                name: format!("{entries} of {vocab} logits"),
                variant: 0,
                overrides: Vec::new(),
                fixture: DispatchFixture {
                    params: bytemuck::bytes_of(&params).to_vec(),
                    step: Step::new(0, 1),
                    format: None,
                    buffers: vec![
                        bytemuck::cast_slice(bytemuck::bytes_of(&choice)).to_vec(),
                        bytemuck::cast_slice(&adjustments).to_vec(),
                        words(&random.activations(vocab as usize)),
                    ],
                    workgroups: [vocab.div_ceil(64), 1, 1],
                },
                nmse: 1e-12,
            }
        })
        .to_vec()
}
