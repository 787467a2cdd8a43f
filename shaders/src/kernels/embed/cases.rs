use super::{CHOSEN, Params};
use crate::kernel::{Case, DispatchFixture, Step};
use crate::kernels::sample::NO_TOKEN;
use crate::testing::{Random, words};
use crate::weights::{GROUP, WeightFormat};

pub fn cases() -> Vec<Case> {
    // The shard holds rows 100 to 169 of the matrix. The rows of some tokens lie outside.
    let rows = 70;
    let first_row = 100;
    let width = 512;
    let case = |format: WeightFormat| {
        let mut random = Random::new(3);
        let params = Params {
            groups_per_row: width / GROUP as u32,
            rows,
            first_row,
            row_words: format.row_words(width as usize) as u32,
            chosen_len: 5,
            reserved0: 0,
            reserved1: 0,
            reserved2: 0,
        };
        let weights = random.matrix(format, rows as usize, width as usize);
        // The word after the list of chosen tokens, and the token after the step's, are of rows of
        // the shard. They must have no effect.
        let chosen = vec![150, NO_TOKEN, 101, CHOSEN | 2, 99, 120];
        let tokens = [
            vec![100, 169, 99, 170, 133, 0, NO_TOKEN],
            (0..6).map(|i| CHOSEN | i).collect(),
            vec![CHOSEN | 2, CHOSEN | 0x7fff_fffe, 140],
        ]
        .concat();
        let rows_of_x = tokens.len() as u32;
        let x = words(&random.activations(tokens.len() * width as usize));
        Case {
            name: format!("{format} {rows}x{width}"),
            variant: 0,
            overrides: Vec::new(),
            fixture: DispatchFixture {
                params: bytemuck::bytes_of(&params).to_vec(),
                step: Step::new(0, rows_of_x - 1),
                format: Some(format),
                buffers: vec![weights.clone(), weights, tokens, chosen, x],
                workgroups: [1, rows_of_x, 1],
            },
            nmse: 1e-12,
        }
    };
    WeightFormat::ALL.map(case).to_vec()
}
