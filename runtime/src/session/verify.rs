//! Several tokens at once, and the token after each of them: what speculation is made of.

use godwit_shaders::kernels::sample::{Choice, NO_TOKEN};
use godwit_shaders::{BufferRef, Step};

use super::record::CHOOSE;
use super::{Session, StepKind};
use crate::error::Error;
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
            StepKind::Transformer(Pass {
                as_single_tokens: true,
                ..pass
            })
        };
        let count = self.pass(tokens, true, work).await?;
        let step = Step::new(0, count as u32);
        self.submit(StepKind::Outputs, step).await?;
        let rows = (count as u32).next_power_of_two();
        self.submit(
            StepKind::Scores {
                first: 0,
                count: rows,
            },
            step,
        )
        .await?;
        let (mut choices, mut adjustments) = (Vec::<Choice>::new(), Vec::new());
        for (row, position) in (0..).zip(before + 1..=before + count) {
            let (choice, adjusted) = sampling.choice(&self.tokens()[..position], position as u64);
            choices.push(Choice {
                first_entry: adjustments.len() as u32,
                chosen: row,
                ..choice
            });
            adjustments.extend(adjusted);
        }
        let choose = StepKind::ChooseEach {
            greedy: sampling.is_greedy(),
            adjusted: !adjustments.is_empty(),
        };
        self.prepare(choose).await?;
        let memory = self.buffers.memory();
        let s = &self.scratch;
        memory
            .write(s.choice, 0, bytemuck::cast_slice(&choices))
            .await?;
        memory
            .write(s.adjustments, 0, bytemuck::cast_slice(&adjustments))
            .await?;
        let chosen = BufferRef {
            bytes: 4 * count as u64,
            ..s.tokens
        };
        let step = Step {
            outputs: count as u32,
            ..CHOOSE
        };
        assert!(
            self.stays_inside(choose, step),
            "{step:?} leaves the plan of {choose:?}"
        );
        let mut read = self.prepared[&choose]
            .submit_and_read(memory, step, chosen)
            .await?;
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
        let adjusted = self.write_choice(sampling, position as u32).await?;
        let choose = StepKind::Choose {
            greedy: sampling.is_greedy(),
            adjusted,
        };
        self.prepare(choose).await?;
        let chosen = BufferRef {
            bytes: 4,
            ..self.scratch.tokens
        };
        // Penalties have changed the logits.
        if adjusted {
            self.transcript.forget_logits();
        }
        let memory = self.buffers.memory();
        let mut read = self.prepared[&choose]
            .submit_and_read(memory, CHOOSE, chosen)
            .await?;
        let read = read.finish().await;
        match bytemuck::pod_read_unaligned(&self.settled(read)?) {
            NO_TOKEN => Err(Error::LogitsNotFinite {
                position: position.saturating_sub(1),
            }),
            token => Ok(token),
        }
    }
}
