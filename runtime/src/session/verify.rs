//! Several tokens at once, and the token after each of them: what speculation is made of.

use godwit_shaders::Step;
use godwit_shaders::kernels::sample::NO_TOKEN;

use super::Session;
use crate::error::Error;
use crate::executor::choose::Choices;
use crate::executor::{CHOOSE, Work};
use crate::model::{Pass, SCORED};
use crate::sampling::Sampling;

impl Session {
    /// Appends tokens, as many as one pass takes and 8 at most, and chooses the token that follows
    /// each of them. Those are not appended.
    ///
    /// # Errors
    /// As [`Session::prefill`]. Where logits are not finite, the token is `NO_TOKEN`.
    pub(crate) async fn choose_after_each(
        &mut self,
        tokens: &[u32],
        sampling: &Sampling,
    ) -> Result<Vec<u32>, Error> {
        // There is room for one adjustment of each logit.
        let vocab = self.engine().model().config().vocab as usize;
        let adjusted = sampling.penalized().min(vocab) + sampling.logit_bias.len().min(vocab);
        let most = (vocab / adjusted.max(1)).clamp(1, SCORED as usize);
        let tokens = &tokens[..tokens.len().min(most)];
        self.check(tokens)?;
        let before = self.tokens().len();
        self.restore_tail_block(before).await?;
        let work = |pass| {
            Work::Transformer(Pass {
                as_single_tokens: true,
                ..pass
            })
        };
        let count = self.pass(tokens, true, work).await?;
        let step = Step::new(0, count as u32);
        let rows = (count as u32).next_power_of_two();
        let scores = Work::Scores {
            first: 0,
            count: rows,
        };
        self.executor.submit(Work::Outputs, step).await?;
        self.executor.submit(scores, step).await?;
        let mut choices = Choices::default();
        for (row, position) in (0..).zip(before + 1..=before + count) {
            let before = &self.tokens()[..position];
            choices.add(sampling, before, position as u64, row, None);
        }
        let (rows, how) = (SCORED, choices.how);
        let choose = Work::Choose { rows, how };
        self.executor.prepare(choose).await?;
        self.executor.write_choices(&choices).await?;
        let step = Step {
            outputs: count as u32,
            ..CHOOSE
        };
        let mut read = self.executor.choose(choose, step, 0).await?;
        let read = read.finish().await;
        Ok(bytemuck::pod_collect_to_vec(&self.settled(read)?))
    }

    /// Appends a token that the last pass has computed at its position: of those that
    /// [`Session::choose_after_each`] took, and that were truncated since.
    pub(crate) fn append_computed(&mut self, token: u32) {
        self.transcript.append(&[token]);
    }

    /// Chooses the next token, and does not append it.
    ///
    /// # Errors
    /// As [`Session::next`].
    pub(crate) async fn choose(&mut self, sampling: &Sampling) -> Result<u32, Error> {
        sampling.validate(self.engine().model().config().vocab)?;
        self.check_room(1)?;
        self.ensure_logits().await?;
        let position = self.tokens().len();
        let choose = self.write_choice(sampling, position as u32).await?;
        self.executor.prepare(choose).await?;
        // Penalties change the logits.
        if matches!(choose, Work::Choose { how, .. } if how.adjusted) {
            self.transcript.forget_logits();
        }
        let mut read = self.executor.choose(choose, CHOOSE, 0).await?;
        let read = read.finish().await;
        match bytemuck::pod_read_unaligned(&self.settled(read)?) {
            NO_TOKEN => Err(Error::LogitsNotFinite {
                position: position.saturating_sub(1),
            }),
            token => Ok(token),
        }
    }
}
