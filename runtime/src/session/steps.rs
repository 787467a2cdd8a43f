//! Steps on the GPU: room in the KV cache, passes over tokens, waiting.

use std::ops::Range;

use godwit_shaders::Step;

use super::Session;
use crate::error::Error;
use crate::executor::Work;
use crate::gpu::GpuError;
use crate::model::Pass;

impl Session {
    /// [`Executor::reserve`](crate::executor::Executor::reserve).
    pub(super) async fn reserve(&mut self, position: u32, wanted: u32) -> Result<Pass, Error> {
        let transcript = &mut self.transcript;
        let forget_in_flight = &mut || transcript.forget_in_flight();
        self.executor
            .reserve(position, wanted, forget_in_flight)
            .await
    }

    /// Runs the transformer on as many of `tokens` as one pass takes, and appends them. Returns how
    /// many. What comes out is there where `outputs` says so, and after the last token.
    pub(super) async fn pass(
        &mut self,
        tokens: &[u32],
        outputs: bool,
        work: fn(Pass) -> Work,
    ) -> Result<usize, Error> {
        let count = self
            .pass_at(self.tokens().len(), tokens, outputs, work)
            .await?;
        self.transcript.append(&tokens[..count]);
        Ok(count)
    }

    /// The same for tokens at `position`: the next one, or one where the session has these tokens
    /// already.
    async fn pass_at(
        &mut self,
        position: usize,
        tokens: &[u32],
        outputs: bool,
        work: fn(Pass) -> Work,
    ) -> Result<usize, Error> {
        let position = position as u32;
        let wanted = tokens.len().min(self.prefill_chunk() as usize) as u32;
        let pass = self.reserve(position, wanted).await?;
        // A pass appends to one segment only.
        let most = wanted.min(self.executor.kv.segments().end_of(pass.segments - 1) - position);
        let work = work(Pass {
            outputs: outputs || most as usize == tokens.len(),
            ..pass
        });
        let count = self.executor.prepare(work).await?.tokens(position, most);
        let tokens = &tokens[..count as usize];
        self.transcript.begin_pass((position + count) as usize);
        let Self { executor, .. } = self;
        let (memory, bytes) = (executor.buffers.memory(), bytemuck::cast_slice(tokens));
        memory.write(executor.scratch.tokens, 0, bytes).await?;
        executor.submit(work, Step::new(position, count)).await?;
        Ok(count as usize)
    }

    /// Computes the tokens from the beginning of the tail block of `position` up to it again, where
    /// the f16 tail lacks their keys and values: after a truncation far back, and in a context that
    /// was read from a file.
    pub(super) async fn restore_tail_block(&mut self, position: usize) -> Result<(), Error> {
        if let Some(begin) = self.transcript.missing_tail_block(position) {
            self.transcript.begin_tail_block();
            self.compute_again(begin..position).await?;
            if position == self.tokens().len() {
                self.transcript.set_tail_block(begin);
            }
        }
        Ok(())
    }

    /// Runs the transformer again on tokens that the session has. They stay its tokens meanwhile:
    /// what is computed takes the place of the same.
    async fn compute_again(&mut self, range: Range<usize>) -> Result<(), Error> {
        let tokens = self.tokens()[range.clone()].to_vec();
        let mut done = 0;
        while done < tokens.len() {
            done += self
                .pass_at(
                    range.start + done,
                    &tokens[done..],
                    false,
                    Work::Transformer,
                )
                .await?;
        }
        Ok(())
    }

    /// Sees to it that the logits on the GPU are those after the last token, and that no tokens are
    /// in flight.
    pub(super) async fn ensure_logits(&mut self) -> Result<(), Error> {
        self.transcript.forget_in_flight();
        if self.transcript.has_logits() {
            return Ok(());
        }
        let last = self.tokens().len().checked_sub(1).ok_or(Error::Empty)?;
        let tail_block = self.transcript.missing_tail_block(last);
        self.restore_tail_block(last).await?;
        self.compute_again(last..last + 1).await?;
        if let Some(begin) = tail_block {
            self.transcript.set_tail_block(begin);
        }
        self.executor.submit(Work::Logits, Step::new(0, 1)).await?;
        self.transcript.set_logits();
        self.settle().await
    }

    /// Waits for the GPU. Where memory was refused to something that nothing waited for, the tokens
    /// since the last wait are forgotten with it.
    pub(super) async fn settle(&mut self) -> Result<(), Error> {
        let finished = self.engine().gpu().finish().await;
        self.settled(finished)?;
        self.transcript.settle();
        Ok(())
    }

    /// The result of a wait for the GPU.
    pub(super) fn settled<T>(&mut self, waited: Result<T, GpuError>) -> Result<T, Error> {
        if let Err(GpuError::MemoryRefused { .. }) = &waited {
            self.transcript.forget_unsettled();
        }
        Ok(waited?)
    }

    /// Compiles the kernels of prefill and decode in a context that is nearly empty.
    pub(super) async fn compile(&mut self) -> Result<(), Error> {
        let many = self.reserve(0, self.prefill_chunk()).await?;
        let one = self.reserve(0, 1).await?;
        for work in [Work::Transformer(many), Work::Logits, Work::Decode(one)] {
            let plan = self.executor.record(work);
            self.engine().gpu().compile_kernels(&plan).await?;
        }
        Ok(())
    }
}
