//! Prefill, scoring, and which tokens a session keeps and forgets.

use godwit_shaders::Step;
use godwit_shaders::kv::noise;

use super::{Session, check_finite};
use crate::engine::heads;
use crate::error::Error;
use crate::executor::{Executor, Work};
use crate::model::SCORED;
use crate::progress::{OnProgress, Progress};

/// Where a prompt's tokens came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reuse {
    /// They were in the session already.
    pub kept: usize,
    /// They were read from disk.
    pub loaded: usize,
    /// They were computed.
    pub computed: usize,
}

#[cfg(not(target_arch = "wasm32"))]
impl Reuse {
    /// So many tokens were there already.
    pub(crate) fn of_kept(kept: usize) -> Self {
        Self {
            kept,
            ..Self::default()
        }
    }
}

impl Session {
    /// Appends tokens. `progress` hears how many of them are done after each pass.
    ///
    /// # Errors
    /// A token does not exist, they do not fit (then none is appended), the GPU fails, or
    /// `progress` says stop: then the tokens done so far stay.
    pub async fn prefill(
        &mut self,
        tokens: &[u32],
        progress: &mut OnProgress<'_>,
    ) -> Result<(), Error> {
        self.check(tokens)?;
        self.restore_tail_block(self.tokens().len()).await?;
        let mut done = 0;
        while done < tokens.len() {
            let count = self.pass(&tokens[done..], false, Work::Transformer).await?;
            done += count;
            if done == tokens.len() {
                self.executor
                    .submit(Work::Logits, Step::new(0, count as u32))
                    .await?;
                self.transcript.set_logits();
            }
            self.settle().await?;
            if progress(Progress::of(done, tokens.len())).is_break() && done < tokens.len() {
                return Err(Error::Stopped);
            }
        }
        Ok(())
    }

    /// Brings the session to hold exactly `tokens`: what it holds of their beginning stays, and the
    /// rest is computed, the last token always. `progress` hears how many tokens are there, of how
    /// many.
    ///
    /// # Errors
    /// As [`Session::prefill`]. A prompt that does not fit the context is refused before anything
    /// changes.
    pub async fn prefill_to(
        &mut self,
        tokens: &[u32],
        progress: &mut OnProgress<'_>,
    ) -> Result<Reuse, Error> {
        self.check_prompt(tokens)?;
        let kept = self.keep_prefix(tokens);
        let mut of_all =
            |now: Progress| progress(Progress::new(kept as u64 + now.done, tokens.len() as u64));
        self.prefill(&tokens[kept..], &mut of_all).await?;
        Ok(Reuse {
            kept,
            computed: tokens.len() - kept,
            ..Reuse::default()
        })
    }

    /// Makes room in a context that is full: forgets the older half of what follows the first
    /// `keep` tokens, and computes the rest anew, so that what is left is exactly as if the
    /// forgotten tokens had never been there.
    ///
    /// At most half of the tokens are kept by `keep`.
    ///
    /// # Errors
    /// As [`Session::prefill`]. Tokens that are not computed yet are then lost.
    pub async fn shift(&mut self, keep: usize, progress: &mut OnProgress<'_>) -> Result<(), Error> {
        let rest = self.forget_older_half(keep);
        self.prefill(&rest, progress).await
    }

    /// Truncates to the first `keep` tokens. Returns the newer half of the others, which are to be
    /// computed anew.
    pub(crate) fn forget_older_half(&mut self, keep: usize) -> Vec<u32> {
        let keep = keep.min(self.tokens().len() / 2);
        let others = &self.tokens()[keep..];
        let rest = others[others.len().div_ceil(2)..].to_vec();
        self.truncate(keep);
        rest
    }

    /// Appends tokens as [`Session::prefill`] does, and hands over the logits after each: `(index
    /// into tokens, logits)`.
    ///
    /// # Errors
    /// As [`Session::prefill`], or a logit is not finite: the tokens of that pass stay.
    pub async fn score(
        &mut self,
        tokens: &[u32],
        each: &mut (dyn FnMut(usize, &[f32]) + Send),
    ) -> Result<(), Error> {
        self.check(tokens)?;
        self.restore_tail_block(self.tokens().len()).await?;
        let vocab = self.engine().model().config().vocab as usize;
        let mut done = 0;
        while done < tokens.len() {
            let count = self.pass(&tokens[done..], true, Work::Transformer).await?;
            let step = Step::new(0, count as u32);
            self.executor.submit(Work::Outputs, step).await?;
            for first in (0..count).step_by(SCORED as usize) {
                self.executor
                    .submit(
                        Work::Scores {
                            first: first as u32,
                            count: SCORED,
                        },
                        step,
                    )
                    .await?;
                let read = self
                    .executor
                    .buffers
                    .memory()
                    .read(self.executor.scratch.logits)
                    .await;
                let bytes = self.settled(read)?;
                let floats: Vec<f32> = bytemuck::pod_collect_to_vec(&bytes);
                for (i, logits) in floats.chunks_exact(vocab).take(count - first).enumerate() {
                    check_finite(logits, self.tokens().len() - count + first + i)?;
                    each(done + first + i, logits);
                }
            }
            done += count;
        }
        Ok(())
    }

    /// Keeps as many tokens as `tokens` begins with, and forgets the others; at least one of
    /// `tokens` is left to compute, for its logits. Returns how many are kept.
    pub fn keep_prefix(&mut self, tokens: &[u32]) -> usize {
        let same = self
            .tokens()
            .iter()
            .zip(tokens)
            .take_while(|(old, new)| old == new)
            .count();
        let kept = same.min(tokens.len().saturating_sub(1));
        self.truncate(kept);
        kept
    }

    /// Fills the context up to `len` tokens with noise, as if they had been computed: for measuring
    /// what a step takes at that depth. What follows makes no sense. Of the tokens before, up to 31
    /// become noise too.
    ///
    /// # Errors
    /// They do not fit the context, or the GPU's memory; then the context is filled as far as there
    /// was room.
    pub async fn fill_with_noise(&mut self, len: usize) -> Result<(), Error> {
        self.check_room(len.saturating_sub(self.tokens().len()))?;
        let noise = noise(
            heads(self.engine().model().config()),
            self.engine().kv_format(),
            1,
        );
        // Whole tiles of 32 positions, enough of them that a write is worth its while.
        let noise = noise.map(|tile| tile.repeat((1 << 18) / tile.len() + 1));
        while self.tokens().len() < len {
            let position = self.tokens().len() as u32 / 32 * 32;
            let segments = self.reserve(position, 1).await?.segments;
            let end = self.executor.kv.segments().end_of(segments - 1);
            self.transcript.overwrite_from(position as usize);
            let Executor { kv, buffers, .. } = &mut self.executor;
            kv.fill(buffers.memory(), position..end, &noise).await?;
            let filled = len.min(end as usize) - position as usize;
            self.transcript.append_cached(&vec![0; filled]);
        }
        Ok(())
    }
}
