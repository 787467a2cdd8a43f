use super::{Adjustment, FORBID, Params};
use crate::kernel::{Case, DispatchFixture, Step};
use crate::kernels::sample::Choice;
use crate::testing::{Random, words};

pub fn cases() -> Vec<Case> {
    let base = Input {
        vocab: 300,
        rows: vec![5],
        dispatched: 1,
        adjustments_len: u32::MAX,
    };
    [
        base.clone(),
        Input {
            vocab: 49_152,
            rows: vec![200],
            ..base
        },
        // Rows of an odd length; one without adjustments, and one that is not among the outputs.
        Input {
            vocab: 301,
            rows: vec![5, 0, 100, 7, 9],
            dispatched: 4,
            ..base
        },
        // Entries beyond the buffer's length: of the second row, and all of the third.
        Input {
            rows: vec![70, 80, 90],
            dispatched: 3,
            adjustments_len: 100,
            ..base
        },
    ]
    .map(case)
    .to_vec()
}

#[derive(Clone)]
struct Input {
    vocab: u32,
    /// The number of adjustments of each row.
    rows: Vec<u32>,
    /// The outputs of the step: the first rows. There is a workgroup for each row.
    dispatched: u32,
    /// The length of the buffer of adjustments, where it is shorter than the rows say.
    adjustments_len: u32,
}

fn case(input: Input) -> Case {
    let Input {
        vocab,
        rows,
        dispatched,
        adjustments_len,
    } = input;
    let mut random = Random::new(vocab.into());
    let mut adjustments: Vec<Adjustment> = Vec::new();
    let mut choices = Vec::new();
    for (row, &entries) in rows.iter().enumerate() {
        let first = adjustments.len();
        adjustments.extend((0..entries).map(|i| Adjustment {
            token: i * (vocab / entries),
            seen: i % 4,
            bias: random.normal(),
            reserved: 0,
        }));
        if entries > 2 {
            adjustments[first + 1].bias = -40.0;
            adjustments[first + 2].token = vocab;
        }
        choices.push(Choice {
            repetition: 1.3 + row as f32 / 8.0,
            presence: 0.5,
            frequency: 0.25,
            entries,
            first_entry: first as u32,
            ..Choice::default()
        });
    }
    // One entry more than the choices say. It must have no effect.
    adjustments.push(Adjustment {
        token: 1,
        seen: 3,
        bias: FORBID,
        reserved: 0,
    });
    let count = rows.len() as u32;
    let name = match count {
        1 => format!("{} of {vocab} logits", rows[0]),
        _ => format!("{rows:?} of {vocab} logits, {dispatched} rows"),
    };
    let params = Params {
        vocab,
        adjustments_len: adjustments_len.min(adjustments.len() as u32),
        reserved0: 0,
        reserved1: 0,
    };
    Case {
        name,
        variant: 0,
        overrides: Vec::new(),
        fixture: DispatchFixture {
            params: bytemuck::bytes_of(&params).to_vec(),
            step: Step {
                outputs: dispatched,
                ..Step::default()
            },
            format: None,
            buffers: vec![
                bytemuck::cast_slice(&choices).to_vec(),
                bytemuck::cast_slice(&adjustments).to_vec(),
                words(&random.activations((vocab * count) as usize)),
            ],
            workgroups: [count, 1, 1],
        },
        nmse: 1e-12,
    }
}
