use super::Params;
use crate::kernel::{Case, DispatchFixture, Step};
use crate::testing::Random;

pub fn cases() -> Vec<Case> {
    [(40_000, 1000), (7, 300), (4096, 256)]
        .map(|(quads, lanes)| {
            let mut random = Random::new(quads.into());
            let params = Params {
                quads,
                lanes,
                reserved0: 0,
                reserved1: 0,
            };
            Case {
                name: format!("{quads} quads, {lanes} lanes"),
                variant: 0,
                overrides: Vec::new(),
                fixture: DispatchFixture {
                    params: bytemuck::bytes_of(&params).to_vec(),
                    step: Step::default(),
                    format: None,
                    buffers: vec![
                        (0..4 * quads).map(|_| random.bits() as u32).collect(),
                        vec![0; lanes as usize],
                    ],
                    workgroups: [lanes.div_ceil(256) + 1, 1, 1],
                },
                nmse: 0.0,
            }
        })
        .to_vec()
}
