use super::{COLUMNS_PER_WORKGROUP, Params};
use crate::kernel::{Case, DispatchFixture, Step};
use crate::testing::{Random, words};

pub fn cases() -> Vec<Case> {
    [(576, 1), (96, 7), (3072, 64)]
        .map(|(width, count): (u32, u32)| {
            let mut random = Random::new(width.into());
            let params = Params {
                width,
                reserved0: 0,
                reserved1: 0,
                reserved2: 0,
            };
            Case {
                name: format!("{width} tokens {count}"),
                variant: 0,
                overrides: Vec::new(),
                fixture: DispatchFixture {
                    params: bytemuck::bytes_of(&params).to_vec(),
                    step: Step::new(9, count),
                    format: None,
                    // One row more than the step has tokens. It must stay as it is.
                    buffers: vec![
                        words(&random.activations(width as usize)),
                        words(&random.activations((width * (count + 1)) as usize)),
                    ],
                    workgroups: [width.div_ceil(COLUMNS_PER_WORKGROUP), count + 1, 1],
                },
                nmse: 1e-12,
            }
        })
        .to_vec()
}
