//! How the tokens of a pass are to be chosen.

use super::core::Core;
use super::request::RequestId;
use crate::executor::choose::Choices;
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

impl Core {
    /// How the next token of a request is to be chosen; none where it has ended.
    pub fn wanted(&self, request: RequestId) -> Option<Wanted> {
        let ongoing = self.requests.get(&request)?;
        let sequence = self.sequences.get(&ongoing.sequence)?;
        let first = sequence
            .tokens
            .len()
            .saturating_sub(ongoing.sampling.penalized());
        Some(Wanted {
            sampling: ongoing.sampling.clone(),
            recent: sequence.tokens[first..].to_vec(),
            position: sequence.computed() as u64,
            log_probs: ongoing.log_probs,
        })
    }
}

/// The choices of rows, the token of row `i` to be `chosen[first_chosen + i]`.
pub(super) fn choices_of(first_chosen: u32, rows: &[Wanted]) -> Choices {
    let mut all = Choices::default();
    for (chosen, row) in (first_chosen..).zip(rows) {
        all.add(
            &row.sampling,
            &row.recent,
            row.position,
            chosen,
            row.log_probs,
        );
    }
    all
}
