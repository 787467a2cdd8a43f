//! How the tokens of a pass are chosen, as the kernels read it.

use godwit_shaders::kernels::adjust::{Adjust, Adjustment};
use godwit_shaders::kernels::argmax::Argmax;
use godwit_shaders::kernels::log_probs::LogProbs;
use godwit_shaders::kernels::sample::{Choice, Sample};
use godwit_shaders::{BufferRef, Plan};

use crate::model::{BatchBuffers, Scratch};
use crate::sampling::Sampling;

/// How one token is to be chosen.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    pub sampling: Sampling,
    /// The last tokens of the sequence, as many as penalties look at.
    pub recent: Vec<u32>,
    /// Position of the token.
    pub position: u64,
    pub log_probs: Option<u32>,
}

impl Wanted {
    /// Logits of a row that are adjusted at most, where there are so many output rows.
    pub fn most_adjustments(&self, outputs: usize, vocab: usize) -> usize {
        let seen = match self.sampling.penalized() {
            0 => 0,
            _ => self.recent.len() + outputs - 1,
        };
        (seen + self.sampling.logit_bias.len()).min(vocab)
    }
}

/// What the rows of a pass need: which kernels run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct RowChoice {
    pub greedy: bool,
    pub sampled: bool,
    pub adjusted: bool,
    pub log_probs: bool,
}

impl RowChoice {
    pub fn plan(self, s: &Scratch, batch: &BatchBuffers, vocab: u32, rows: u32) -> Plan {
        let mut plan = Plan::default();
        let (choices, logits, chosen) = (s.choice, s.logits, batch.chosen);
        if self.adjusted {
            Adjust {
                choices,
                adjustments: s.adjustments,
                logits,
                vocab,
                rows,
            }
            .record(&mut plan);
        }
        if self.greedy {
            Argmax {
                choices,
                logits,
                chosen,
                vocab,
                rows,
            }
            .record(&mut plan);
        }
        if self.sampled {
            Sample {
                choices,
                logits,
                weights: s.weights,
                chosen,
                vocab,
                rows,
            }
            .record(&mut plan);
        }
        if self.log_probs {
            LogProbs {
                choices,
                logits,
                chosen,
                out: batch.log_probs,
                vocab,
                rows,
            }
            .record(&mut plan);
        }
        plan
    }
}

/// The choices of a pass.
#[derive(Clone, Debug, Default)]
pub(super) struct Choices {
    pub how: RowChoice,
    pub choices: Vec<Choice>,
    pub adjustments: Vec<Adjustment>,
}

impl Choices {
    /// Choices of rows, the token of row `i` to be `chosen[first_chosen + i]`.
    pub fn new(first_chosen: u32, rows: &[Wanted]) -> Self {
        let mut all = Self::default();
        for (chosen, row) in (first_chosen..).zip(rows) {
            let (mut choice, adjustments) = row.sampling.choice(&row.recent, row.position);
            choice.first_entry = all.adjustments.len() as u32;
            choice.chosen = chosen;
            choice.top_logprobs = row.log_probs.map_or(0, |top| top.max(1));
            all.how.greedy |= row.sampling.is_greedy();
            all.how.sampled |= !row.sampling.is_greedy();
            all.how.adjusted |= !adjustments.is_empty();
            all.how.log_probs |= row.log_probs.is_some();
            all.choices.push(choice);
            all.adjustments.extend(adjustments);
        }
        all
    }

    /// The part of the buffer of chosen tokens that the tokens are written to.
    pub fn written(&self, chosen: BufferRef) -> BufferRef {
        let first = self.choices.first().map_or(0, |choice| choice.chosen);
        BufferRef {
            offset: chosen.offset + 4 * u64::from(first),
            bytes: 4 * self.choices.len() as u64,
            ..chosen
        }
    }
}
