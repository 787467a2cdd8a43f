//! Steps on the GPU: room in the KV cache, plans ready to run, passes over tokens, waiting.

use std::ops::Range;

use godwit_shaders::kernels::rope_attention::MAX_SINGLE_PASS_TOKENS;
use godwit_shaders::{Plan, Step};

use super::Session;
use super::record::{Recorder, StepKind};
use crate::error::Error;
use crate::gpu::{GpuError, Prepared};
use crate::model::{Pass, SCORED, pass_chunk};

impl Session {
    /// Makes room in the KV cache for the token at `position`; the pass for up to `wanted` tokens
    /// from there.
    pub(super) async fn reserve(&mut self, position: u32, wanted: u32) -> Result<Pass, Error> {
        let Self {
            kv,
            buffers,
            prepared,
            transcript,
            ..
        } = self;
        let (forget_plans, forget_in_flight) = (&mut || prepared.clear(), &mut || {
            transcript.forget_in_flight()
        });
        let segments = kv
            .reserve(buffers, position, forget_plans, forget_in_flight)
            .await?;
        let chunk = pass_chunk(wanted, self.prefill_chunk);
        let single_pass = chunk == 1 && position < MAX_SINGLE_PASS_TOKENS;
        Ok(Pass {
            chunk,
            segments,
            single_pass,
            as_single_tokens: false,
            outputs: true,
        })
    }

    /// Runs the transformer on as many of `tokens` as one pass takes, and appends them. Returns how
    /// many. What comes out is there where `outputs` says so, and after the last token.
    pub(super) async fn pass(
        &mut self,
        tokens: &[u32],
        outputs: bool,
        work: fn(Pass) -> StepKind,
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
        work: fn(Pass) -> StepKind,
    ) -> Result<usize, Error> {
        let position = position as u32;
        let wanted = tokens.len().min(self.prefill_chunk as usize) as u32;
        let pass = self.reserve(position, wanted).await?;
        // A pass appends to one segment only.
        let most = wanted.min(self.kv.segments().end_of(pass.segments - 1) - position);
        let work = work(Pass {
            outputs: outputs || most as usize == tokens.len(),
            ..pass
        });
        let count = self.prepare(work).await?.tokens(position, most);
        let tokens = &tokens[..count as usize];
        self.transcript.begin_pass((position + count) as usize);
        self.buffers
            .memory()
            .write(self.scratch.tokens, 0, bytemuck::cast_slice(tokens))
            .await?;
        self.submit(work, Step::new(position, count)).await?;
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
                    StepKind::Transformer,
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
        self.submit(StepKind::Logits, Step::new(0, 1)).await?;
        self.transcript.set_logits();
        self.settle().await
    }

    /// Waits for the GPU. Where memory was refused to something that nothing waited for, the tokens
    /// since the last wait are forgotten with it.
    pub(super) async fn settle(&mut self) -> Result<(), Error> {
        let finished = self.engine.gpu().finish().await;
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
        let many = self.reserve(0, self.prefill_chunk).await?;
        let one = self.reserve(0, 1).await?;
        for work in [
            StepKind::Transformer(many),
            StepKind::Logits,
            StepKind::Decode(one),
        ] {
            let plan = self.record(work);
            self.engine.gpu().compile_kernels(&plan).await?;
        }
        Ok(())
    }

    /// The plan of some work, ready to be submitted.
    pub(super) async fn prepare(&mut self, work: StepKind) -> Result<&Prepared, Error> {
        if !self.prepared.contains_key(&work) {
            if let StepKind::Transformer(pass) | StepKind::Decode(pass) = work {
                // Plans over fewer segments won't come again, but after a truncation.
                self.prepared.retain(|old, _| match old {
                    StepKind::Transformer(p) | StepKind::Decode(p) => p.segments == pass.segments,
                    _ => true,
                });
            }
            let plan = self.record(work);
            let prepared = Prepared::new(
                self.engine.gpu(),
                self.buffers.memory(),
                &plan,
                self.scratch.step,
            )
            .await?;
            return Ok(self.prepared.entry(work).or_insert(prepared));
        }
        Ok(&self.prepared[&work])
    }

    /// Whether a step has no more tokens than its plan is for, and ends in the segments that the
    /// plan reads. Kernels that run unchecked rely on it.
    pub(super) fn stays_inside(&self, work: StepKind, step: Step) -> bool {
        match work {
            StepKind::Transformer(pass) | StepKind::Decode(pass) | StepKind::Calibrate(pass) => {
                let end = step.position.checked_add(step.count);
                (1..=pass.chunk).contains(&step.count)
                    && end.is_some_and(|end| {
                        end <= self
                            .kv
                            .segments()
                            .end_of(pass.segments - 1)
                            .min(self.context())
                    })
            }
            StepKind::Logits | StepKind::Outputs | StepKind::Scores { .. } => {
                (1..=self.prefill_chunk).contains(&step.count)
            }
            StepKind::Choose { .. } => step.outputs <= 1,
            StepKind::ChooseEach { .. } => step.outputs <= SCORED,
        }
    }

    pub(super) async fn submit(&mut self, work: StepKind, step: Step) -> Result<(), Error> {
        // Kernels run without checks: see `gpu/pipelines.rs`.
        assert!(
            self.stays_inside(work, step),
            "{step:?} leaves the plan of {work:?}"
        );
        self.prepare(work).await?;
        let (prepared, memory) = (&self.prepared[&work], self.buffers.memory());
        match prepared.has_uploads() {
            true => {
                let host = |allocation, from, into: &mut [u8]| {
                    Ok::<_, Error>(self.kv.read_spilled(allocation, from, into)?)
                };
                prepared.stream(memory, step, host).await
            }
            false => Ok(prepared.submit(memory, step).await?),
        }
    }

    pub(super) fn record(&self, work: StepKind) -> Plan {
        let inner = &self.engine.inner;
        let recorder = Recorder {
            llama: &inner.llama,
            caps: inner.gpu.caps(),
            kv: self.kv.segments(),
            scratch: &self.scratch,
            calibrated: &self.calibrated,
            chunk: self.prefill_chunk,
        };
        recorder.record(work)
    }
}
