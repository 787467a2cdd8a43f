//! How much of a prompt fits the time that a step may take.

use super::Scheduler;
use super::options::Budget;

impl Scheduler {
    /// How many tokens of prompts fit the budget; one at least, so that prompts come to an end.
    pub(super) fn prompt_tokens(&self, budget: Budget) -> usize {
        let most = self.core.limits.prompt_tokens;
        let Some(time) = budget.gpu else {
            return most;
        };
        let attended = self.core.longest_prompt() as u32;
        // A size that was never tried is tried.
        let fits = |&tokens: &usize| {
            let seconds = self.device.prompt_seconds(tokens as u32, attended);
            seconds.is_none_or(|seconds| seconds <= time.as_secs_f64())
        };
        let sizes = std::iter::successors(Some(most), |tokens| Some(tokens / 2));
        sizes
            .take_while(|&tokens| tokens > 1)
            .find(fits)
            .unwrap_or(1)
    }
}
