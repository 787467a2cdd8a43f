use super::Params;
use crate::kernel::{Case, DispatchFixture, Step};
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
        };
        let weights = random.matrix(format, rows as usize, width as usize);
        let tokens = vec![100, 169, 99, 170, 133, 0, u32::MAX, 140];
        let x = words(&random.activations(tokens.len() * width as usize));
        Case {
            name: format!("{format} {rows}x{width}"),
            variant: 0,
            overrides: Vec::new(),
            fixture: DispatchFixture {
                params: bytemuck::bytes_of(&params).to_vec(),
                step: Step::new(0, 7),
                format: Some(format),
                buffers: vec![weights.clone(), weights, tokens, x],
                workgroups: [1, 8, 1],
            },
            nmse: 1e-12,
        }
    };
    WeightFormat::ALL.map(case).to_vec()
}
