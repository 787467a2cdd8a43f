use super::{MOST, Params};
use crate::kernel::{Case, DispatchFixture};
use crate::kernels::adjust::FORBID;
use crate::kernels::sample::{CHOSEN_LEN, Choice, MIXED, NO_TOKEN, Rows, overrides_for, unusual};
use crate::testing::Random;

pub fn cases() -> Vec<Case> {
    let top = |top_logprobs| Choice {
        temperature: 0.5,
        top_k: 2,
        top_logprobs,
        ..Choice::default()
    };
    let logits = |vocab: usize| -> Vec<f32> {
        let mut random = Random::new(vocab as u64);
        (0..vocab).map(|_| 3.0 * random.normal()).collect()
    };
    let mut cases = Vec::new();
    for (vocab, count) in [(128_256, 20), (49_152, 1), (300, 5), (300, 100), (7, 20)] {
        let rows = Rows::one(logits(vocab), top(count));
        cases.push(case(format!("{count} of {vocab} logits"), rows, 1e9));
    }
    // More equal logits than are asked for, in several vectors and invocations.
    let mut equal = logits(5000);
    for i in 0..30 {
        equal[(i * 1171) % 5000] = 20.0;
    }
    cases.push(case("equal".into(), Rows::one(equal, top(20)), 1e9));
    // Fewer tokens than are asked for are possible.
    let mut forbidden = vec![FORBID; 1000];
    forbidden[999] = f32::NEG_INFINITY;
    forbidden[3] = 1.5;
    forbidden[997] = 2.5;
    cases.push(case("forbidden".into(), Rows::one(forbidden, top(20)), 1e9));
    for (name, logits) in unusual() {
        cases.push(case(name, Rows::one(logits, top(3)), f32::NAN));
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
    // One chosen token is none.
    let chosen = [vocab / 3, 0, vocab - 1, vocab / 2, NO_TOKEN, 1, 2];
    let out = vec![0; rows.choices.len() * 2 * (1 + MOST as usize)];
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
                chosen.to_vec(),
                out,
            ],
            workgroups: [rows.count(), 1, 1],
        },
        nmse: 1e-12,
    }
}
