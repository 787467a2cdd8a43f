use super::Params;
use crate::kernel::{Case, DispatchFixture, Step};
use crate::kernels::add_bias::COLUMNS_PER_WORKGROUP;
use crate::testing::{Random, words};

pub fn cases() -> Vec<Case> {
    [(1536, 1), (96, 7), (320, 64)]
        .map(|(width, count): (u32, u32)| {
            let mut random = Random::new(width.into());
            let params = Params {
                width,
                reserved0: 0,
                reserved1: 0,
                reserved2: 0,
            };
            let mut floats = |rows: u32| random.activations((width * rows) as usize);
            let (up, gate_bias, up_bias) = (floats(count + 1), floats(1), floats(1));
            let mut gate = floats(count + 1);
            // Sigmoids of these are 0 and 1 in f32.
            (gate[0], gate[1]) = (-120.0, 120.0);
            Case {
                name: format!("{width} tokens {count}"),
                variant: 0,
                overrides: Vec::new(),
                fixture: DispatchFixture {
                    params: bytemuck::bytes_of(&params).to_vec(),
                    step: Step::new(9, count),
                    format: None,
                    // One row more than the step has tokens. It must stay as it is.
                    buffers: vec![words(&up), words(&gate_bias), words(&up_bias), words(&gate)],
                    workgroups: [width.div_ceil(COLUMNS_PER_WORKGROUP), count + 1, 1],
                },
                nmse: 1e-11,
            }
        })
        .to_vec()
}
