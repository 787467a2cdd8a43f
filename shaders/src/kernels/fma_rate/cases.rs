use super::Params;
use crate::kernel::{Case, DispatchFixture, Step};

pub fn cases() -> Vec<Case> {
    // Few rounds, in which the start still matters, and many, which converge.
    [(1, 300, 0.75), (2, 256, -0.9), (20, 100, 0.75)]
        .map(|(rounds, invocations, factor)| Case {
            name: format!("{rounds} rounds, {invocations} invocations"),
            variant: 0,
            overrides: Vec::new(),
            fixture: DispatchFixture {
                params: bytemuck::bytes_of(&Params {
                    rounds,
                    invocations,
                    factor,
                    term: 1.5,
                })
                .to_vec(),
                step: Step::default(),
                format: None,
                buffers: vec![vec![0; invocations as usize]],
                workgroups: [invocations.div_ceil(256) + 1, 1, 1],
            },
            nmse: 1e-11,
        })
        .to_vec()
}
