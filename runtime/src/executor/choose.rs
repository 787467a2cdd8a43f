//! How the tokens of a pass are chosen, as the kernels read it.

use godwit_shaders::Plan;
use godwit_shaders::kernels::adjust::{Adjust, Adjustment};
use godwit_shaders::kernels::argmax::Argmax;
use godwit_shaders::kernels::log_probs::LogProbs;
use godwit_shaders::kernels::sample::{Choice, Sample};

use crate::model::Scratch;
use crate::sampling::Sampling;

/// What the rows of a pass need: which kernels run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct RowChoice {
    pub greedy: bool,
    pub sampled: bool,
    pub adjusted: bool,
    pub log_probs: bool,
}

impl RowChoice {
    /// Chooses a token for each of up to `rows` rows of logits.
    pub fn plan(self, s: &Scratch, vocab: u32, rows: u32) -> Plan {
        let mut plan = Plan::default();
        let (choices, logits, chosen) = (s.choice, s.logits, s.chosen);
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
        if let Some(batch) = s.batch.as_ref().filter(|_| self.log_probs) {
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
pub(crate) struct Choices {
    pub how: RowChoice,
    pub choices: Vec<Choice>,
    pub adjustments: Vec<Adjustment>,
}

impl Choices {
    /// Adds a row: the token at `position`, after `tokens`, of which only those matter that
    /// penalties look at. It is to be entry `chosen` of the tokens that were chosen. `log_probs`
    /// says how many of the most likely tokens come with it.
    pub fn add(
        &mut self,
        sampling: &Sampling,
        tokens: &[u32],
        position: u64,
        chosen: u32,
        log_probs: Option<u32>,
    ) {
        let (mut choice, adjustments) = sampling.choice(tokens, position);
        choice.first_entry = self.adjustments.len() as u32;
        choice.chosen = chosen;
        choice.top_logprobs = log_probs.map_or(0, |top| top.max(1));
        self.how.greedy |= sampling.is_greedy();
        self.how.sampled |= !sampling.is_greedy();
        self.how.adjusted |= !adjustments.is_empty();
        self.how.log_probs |= log_probs.is_some();
        self.choices.push(choice);
        self.adjustments.extend(adjustments);
    }
}
