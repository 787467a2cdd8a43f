use super::Params;
use crate::kernel::{Case, DispatchFixture, Step};
use crate::kernels::sample::unusual;
use crate::testing::{Random, words};

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
            logits,
            1e9,
        )
    })
    .to_vec();
    for (name, logits) in unusual() {
        cases.push(case(name, logits, f32::NAN));
    }
    cases
}

/// The last vector of four is padded with `beyond`, which is no token's logit.
fn case(name: String, mut logits: Vec<f32>, beyond: f32) -> Case {
    let vocab = logits.len() as u32;
    logits.resize(logits.len().next_multiple_of(4), beyond);
    let params = Params {
        vocab,
        reserved0: 0,
        reserved1: 0,
        reserved2: 0,
    };
    Case {
        name,
        variant: 0,
        overrides: Vec::new(),
        fixture: DispatchFixture {
            params: bytemuck::bytes_of(&params).to_vec(),
            step: Step::new(0, 1),
            format: None,
            buffers: vec![words(&logits), vec![0; 4]],
            workgroups: [1, 1, 1],
        },
        nmse: 0.0,
    }
}
