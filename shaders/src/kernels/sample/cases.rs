use super::{Choice, Params, overrides_for};
use crate::kernel::{Case, DispatchFixture, Step};
use crate::kernels::adjust::FORBID;
use crate::testing::{Random, words};

/// Lengths of rows: multiples of 4 and not.
pub(crate) const MIXED: [usize; 5] = [4096, 5, 1027, 1030, 49_153];

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
        case(name, Rows::one(logits, choice), 1e9)
    })
    .into_iter()
    .chain(unusual().into_iter().map(|(name, logits)| {
        let choice = Choice {
            top_k: 40,
            top_p: 0.9,
            uniform: 0.4,
            ..open
        };
        case(name, Rows::one(logits, choice), f32::NAN)
    }))
    .chain(MIXED.map(|vocab| case(format!("rows of {vocab} logits"), Rows::mixed(vocab), 1e9)))
    .collect()
}

/// Rows of logits, and how a token of each is chosen.
pub(crate) struct Rows {
    /// Logits of a row.
    pub vocab: usize,
    /// The logits of all rows.
    pub logits: Vec<f32>,
    /// The rows' choices.
    pub choices: Vec<Choice>,
    /// The outputs of the step: the first rows. There is a workgroup for each row.
    pub outputs: u32,
}

/// The length of the buffer of chosen tokens in cases of several rows.
pub(crate) const CHOSEN_LEN: u32 = 6;

impl Rows {
    /// A row that is chosen from like this.
    pub fn one(logits: Vec<f32>, choice: Choice) -> Self {
        Self {
            vocab: logits.len(),
            logits,
            choices: vec![choice],
            outputs: 1,
        }
    }

    /// Rows of which some are greedy and some are sampled. The second row permits no choice.
    /// The results of two go nowhere: one is beyond the chosen tokens, one row is no output.
    pub fn mixed(vocab: usize) -> Self {
        let mut random = Random::new(vocab as u64);
        let open = Choice {
            temperature: 0.8,
            top_p: 1.0,
            ..Choice::default()
        };
        let greedy = Choice::default();
        let choices: Vec<Choice> = [
            (open, 0.3, 5),
            (greedy, 0.0, 0),
            (greedy, 0.0, 3),
            (open, 0.9, CHOSEN_LEN),
            (Choice { top_k: 1, ..open }, 0.6, 2),
            (Choice { top_p: 0.7, ..open }, 0.5, 1),
            (open, 0.5, 4),
        ]
        .map(|(choice, uniform, chosen)| Choice {
            uniform,
            chosen,
            top_logprobs: chosen,
            ..choice
        })
        .to_vec();
        let mut logits: Vec<f32> = (0..vocab * choices.len())
            .map(|_| 3.0 * random.normal())
            .collect();
        logits[vocab + vocab / 2] = f32::NAN;
        Self {
            vocab,
            logits,
            outputs: choices.len() as u32 - 1,
            choices,
        }
    }

    /// The logits as the words of a buffer. The last vector of four is padded with `beyond`, which
    /// is no token's logit.
    pub fn logit_words(&self, beyond: f32) -> Vec<u32> {
        let mut padded = self.logits.clone();
        padded.resize(padded.len().next_multiple_of(4), beyond);
        words(&padded)
    }

    /// The choices as the words of a buffer.
    pub fn choice_words(&self) -> Vec<u32> {
        bytemuck::cast_slice(&self.choices).to_vec()
    }

    /// The step that chooses.
    pub fn step(&self) -> Step {
        Step {
            outputs: self.outputs,
            ..Step::default()
        }
    }

    /// The number of rows, those that are no outputs too.
    pub fn count(&self) -> u32 {
        self.choices.len() as u32
    }
}

fn case(name: String, rows: Rows, beyond: f32) -> Case {
    let vocab = rows.vocab as u32;
    let params = Params {
        vocab,
        chosen_len: CHOSEN_LEN,
        reserved0: 0,
        reserved1: 0,
    };
    let weights = rows.choices.len() * rows.vocab.next_multiple_of(4);
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
                vec![0; weights],
                vec![0; CHOSEN_LEN as usize + 2],
            ],
            workgroups: [rows.count(), 1, 1],
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
