use super::Params;
use crate::kernel::{Case, DispatchFixture};
use crate::kernels::sample::{CHOSEN_LEN, Choice, MIXED, Rows, overrides_for, unusual};
use crate::testing::Random;

pub fn cases() -> Vec<Case> {
    // The indices of the largest logits.
    let mut cases = [
        (49_152, vec![31_000]),
        (128_256, vec![128_255, 128_000]),
        (300, vec![0]),
        (7, vec![6, 2, 4]),
    ]
    .map(|(vocab, peaks): (u32, _)| {
        let mut logits = Random::new(vocab.into()).activations(vocab as usize);
        let peaks: Vec<usize> = peaks;
        peaks.iter().for_each(|&i| logits[i] = 1e4);
        case(
            format!("{vocab} logits, {} equal", peaks.len()),
            Rows::one(logits, Choice::default()),
            1e9,
        )
    })
    .to_vec();
    for (name, logits) in unusual() {
        cases.push(case(name, Rows::one(logits, Choice::default()), f32::NAN));
    }
    cases.extend(MIXED.map(|vocab| {
        case(
            format!("rows of {vocab} logits"),
            Rows::mixed(vocab),
            f32::NAN,
        )
    }));
    cases
}

fn case(name: String, rows: Rows, beyond: f32) -> Case {
    let vocab = rows.vocab as u32;
    let params = Params {
        vocab,
        chosen_len: CHOSEN_LEN,
        reserved0: 0,
        reserved1: 0,
    };
    Case {
        name,
        variant: 0,
        overrides: overrides_for(vocab, rows.count()),
        fixture: DispatchFixture {
            params: bytemuck::bytes_of(&params).to_vec(),
            step: rows.step(),
            format: None,
            buffers: vec![
                rows.choice_words(),
                rows.logit_words(beyond),
                vec![0; CHOSEN_LEN as usize + 2],
            ],
            workgroups: [rows.count(), 1, 1],
        },
        nmse: 0.0,
    }
}
