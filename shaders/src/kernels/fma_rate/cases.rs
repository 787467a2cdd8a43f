use super::Params;
use crate::kernel::{Case, DispatchFixture, Step};

pub fn cases() -> Vec<Case> {
    // One round in which the start still counts, and many that converge.
    [(1, 300, 0.75), (2, 256, -0.9), (20, 100, 0.75)]
        .map(|(rounds, lanes, factor)| Case {
            name: format!("{rounds} rounds, {lanes} lanes"),
            variant: 0,
            overrides: Vec::new(),
            fixture: DispatchFixture {
                params: bytemuck::bytes_of(&Params {
                    rounds,
                    lanes,
                    factor,
                    term: 1.5,
                })
                .to_vec(),
                step: Step::default(),
                format: None,
                buffers: vec![vec![0; lanes as usize]],
                workgroups: [lanes.div_ceil(256) + 1, 1, 1],
            },
            nmse: 1e-11,
        })
        .to_vec()
}
