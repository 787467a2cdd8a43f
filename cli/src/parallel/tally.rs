//! What a run of many prompts has done.

use super::answers::Usage;
use crate::answer::rate;
use crate::output::note;

/// What is done so far.
#[derive(Default)]
pub struct Tally {
    pub answered: usize,
    pub failed: usize,
    pub usage: Usage,
    /// Guesses, and those that were right.
    pub speculated: [usize; 2],
}

impl Tally {
    pub fn tell(&self, seconds: f64) {
        let Usage {
            prompt_tokens,
            cached_tokens,
            completion_tokens,
        } = self.usage;
        let guesses = match self.speculated {
            [0, _] => String::new(),
            [drafted, accepted] => format!("; {accepted} of {drafted} guesses were right"),
        };
        note(&format!(
            "(answers: {}, failures: {}, in {seconds:.1} s; {completion_tokens} tokens at {:.1}/s; \
             {prompt_tokens} tokens of prompts, {cached_tokens} of them reused{guesses})",
            self.answered,
            self.failed,
            rate(completion_tokens, seconds)
        ));
    }
}
