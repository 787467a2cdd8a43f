use super::Params;
use crate::kernel::{Case, DispatchFixture, Step};
use crate::testing::Random;

pub fn cases() -> Vec<Case> {
    [(40_000, 1000), (7, 300), (4096, 256)]
        .map(|(vec4s, invocations)| {
            let mut random = Random::new(vec4s.into());
            let params = Params {
                vec4s,
                invocations,
                reserved0: 0,
                reserved1: 0,
            };
            Case {
                name: format!("{vec4s} vec4s, {invocations} invocations"),
                variant: 0,
                overrides: Vec::new(),
                fixture: DispatchFixture {
                    params: bytemuck::bytes_of(&params).to_vec(),
                    step: Step::default(),
                    format: None,
                    buffers: vec![
                        (0..4 * vec4s).map(|_| random.bits() as u32).collect(),
                        vec![0; invocations as usize],
                    ],
                    workgroups: [invocations.div_ceil(256) + 1, 1, 1],
                },
                nmse: 0.0,
            }
        })
        .to_vec()
}
