use super::{Choice, Params};
use crate::kernel::{Case, DispatchFixture, Step};
use crate::kernels::adjust::FORBID;
use crate::testing::{Random, words};

pub fn cases() -> Vec<Case> {
    let open = Choice {
        temperature: 1.0,
        top_p: 1.0,
        ..Choice::default()
    };
    [
        (
            49_152,
            Choice {
                temperature: 0.6,
                top_p: 0.9,
                uniform: 0.3,
                ..open
            },
        ),
        (
            49_152,
            Choice {
                temperature: 1.5,
                top_k: 40,
                uniform: 0.7,
                ..open
            },
        ),
        (
            49_152,
            Choice {
                temperature: 2.0,
                top_k: 50,
                top_p: 0.5,
                min_p: 0.05,
                uniform: 0.95,
                ..open
            },
        ),
        (
            128_256,
            Choice {
                uniform: 0.999,
                ..open
            },
        ),
        (
            128_256,
            Choice {
                min_p: 0.2,
                uniform: 0.5,
                ..open
            },
        ),
        (
            1000,
            Choice {
                uniform: 0.0,
                ..open
            },
        ),
        (
            10,
            Choice {
                top_k: 1,
                uniform: 0.9,
                ..open
            },
        ),
    ]
    .map(|(vocab, choice): (u32, Choice)| {
        let mut random = Random::new(vocab.into());
        let logits = (0..vocab).map(|_| 3.0 * random.normal()).collect();
        let name = format!(
            "{vocab} logits temperature {} top-k {} top-p {} min-p {}",
            choice.temperature, choice.top_k, choice.top_p, choice.min_p
        );
        case(name, choice, logits, 1e9)
    })
    .into_iter()
    .chain(unusual().into_iter().map(|(name, logits)| {
        let choice = Choice {
            top_k: 40,
            top_p: 0.9,
            uniform: 0.4,
            ..open
        };
        case(name, choice, logits, f32::NAN)
    }))
    .collect()
}

/// The last vector of four is padded with `beyond`, which is no token's logit.
fn case(name: String, choice: Choice, mut logits: Vec<f32>, beyond: f32) -> Case {
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
            buffers: vec![
                bytemuck::cast_slice(bytemuck::bytes_of(&choice)).to_vec(),
                words(&logits),
                vec![0; logits.len()],
                vec![0; 4],
            ],
            workgroups: [1, 1, 1],
        },
        nmse: 1e-10,
    }
}

/// Logits that are not all finite, with a description. Some of them permit a choice, others none.
pub(crate) fn unusual() -> Vec<(String, Vec<f32>)> {
    let values = [
        ("NaN", f32::NAN),
        ("negative NaN", -f32::NAN),
        ("infinity", f32::INFINITY),
        ("minus infinity", f32::NEG_INFINITY),
    ];
    let mut cases = Vec::new();
    for (name, value) in values {
        // The last logit is alone in its vector of four.
        for (vocab, at) in [(49_153, 49_152), (7, 0), (7, 3), (9, 8)] {
            let mut logits = Random::new(vocab as u64).activations(vocab);
            logits[at] = value;
            cases.push((format!("{vocab} logits, {name} at {at}"), logits));
        }
    }
    for (name, value) in values
        .into_iter()
        .chain([("-1e30", FORBID), ("-3.4e38", f32::MIN)])
    {
        cases.push((format!("300 logits, all {name}"), vec![value; 300]));
    }
    cases
}
