//! One token after the other: chosen on the GPU, and run through the transformer before the host
//! has heard of it.

use godwit_shaders::Step;
use godwit_shaders::kernels::sample::NO_TOKEN;

use super::Session;
use crate::error::Error;
use crate::executor::choose::Choices;
use crate::executor::{CHOOSE, Work};
use crate::sampling::Sampling;

impl Session {
    /// Chooses the next token, and appends it.
    ///
    /// The choice is made on the GPU, and the pass for the chosen token starts there without
    /// waiting for the CPU to hear of it; and so do the next ones, as long as they are chosen the
    /// same way. Tokens in flight are forgotten when something else is asked for.
    ///
    /// # Errors
    /// There are no tokens yet, no room for another, a parameter is out of range, the logits are
    /// not finite, or the GPU fails. Then no token is appended. Tokens that were chosen before the
    /// GPU failed are returned first.
    pub async fn next(&mut self, sampling: &Sampling) -> Result<u32, Error> {
        sampling.validate(self.engine().model().config().vocab)?;
        self.check_room(1)?;
        if !self.transcript.continues(sampling) {
            self.ensure_logits().await?;
            self.transcript.begin_choosing(sampling.clone());
        }
        let room = self.context() as usize - self.tokens().len();
        let mut most = 1;
        while self.transcript.in_flight() < self.transcript.most_in_flight().min(most).min(room) {
            let position = self.tokens().len() + self.transcript.in_flight();
            match self.submit_step(sampling, position as u32).await {
                Ok(fit) => most = fit,
                Err(error) if self.transcript.in_flight() == 0 => return Err(error),
                Err(error) => {
                    tracing::debug!(
                        "a step in flight failed and is tried again when it is needed: {error}"
                    );
                    self.transcript.stop_choosing();
                }
            }
        }
        let Some(chosen) = self.transcript.first_in_flight() else {
            return Err(Error::Empty);
        };
        match chosen.finish().await {
            Ok(bytes) => match bytemuck::pod_read_unaligned(&bytes) {
                NO_TOKEN => {
                    self.transcript.forget_in_flight();
                    Err(Error::LogitsNotFinite {
                        position: self.tokens().len().saturating_sub(1),
                    })
                }
                token => {
                    self.transcript.accept(token);
                    Ok(token)
                }
            },
            Err(error) => {
                self.transcript.forget_in_flight();
                self.settled(Err(error))
            }
        }
    }

    /// Tokens that were chosen, and run through the transformer, before anyone asked for them.
    pub fn tokens_in_flight(&self) -> u32 {
        self.transcript.in_flight() as u32
    }

    /// Has the token of this position chosen and run through the transformer. Returns how many such
    /// steps may be in flight.
    async fn submit_step(&mut self, sampling: &Sampling, position: u32) -> Result<usize, Error> {
        let pass = self.reserve(position, 1).await?;
        let choose = self.write_choice(sampling, position).await?;
        let (work, step) = (Work::Decode(pass), Step::new(position, 1));
        // Both are prepared before anything is submitted: a lack of memory changes nothing.
        self.executor.prepare(choose).await?;
        let expected = self.executor.prepare(work).await?.expected_seconds(step);
        self.transcript.begin_step(position as usize + 1);
        let chosen = self.executor.choose(choose, CHOOSE, 0).await?;
        self.executor.submit(work, step).await?;
        self.transcript.complete_step(chosen);
        let gpu = self.engine().gpu();
        let most = gpu.caps().tuning.steps_in_flight;
        // Penalties count the tokens so far, and what comes from the host is waited for.
        if most <= 1 || sampling.has_penalties() || self.spilled_bytes() > 0 {
            return Ok(1);
        }
        let fit = gpu.in_flight_budget().as_secs_f64() / expected.max(1e-6);
        Ok((fit as u32).clamp(1, most) as usize)
    }

    /// Tells the GPU how to choose the token of this position. Returns how that is done.
    pub(super) async fn write_choice(
        &self,
        sampling: &Sampling,
        position: u32,
    ) -> Result<Work, Error> {
        let mut choices = Choices::default();
        choices.add(sampling, self.tokens(), position.into(), 0, None);
        self.executor.write_choices(&choices).await?;
        let how = choices.how;
        Ok(Work::Choose { rows: 1, how })
    }
}
