//! A conversation: tokens, their KV cache, and the next token.
//!
//! [`Session`] is spread over files by what it does: prefill here, [`decode`], [`snapshot`],
//! [`calibrate`]. What must agree has an owner each: tokens and the state of the GPU after them
//! [`transcript`], where keys and values are [`KvCache`](crate::kv_cache), plans [`record`].

#[cfg(test)]
mod addresses;
mod calibrate;
mod decode;
#[cfg(test)]
mod out_of_memory;
#[cfg(not(target_arch = "wasm32"))]
pub mod prefix_cache;
mod record;
#[cfg(test)]
mod reference;
pub(crate) mod snapshot;
#[cfg(test)]
mod tests;
mod transcript;

use std::collections::HashMap;
use std::ops::{ControlFlow, Range};

use godwit_shaders::kernels::rope_attention::MAX_SINGLE_PASS_TOKENS;
use godwit_shaders::kv::noise;
use godwit_shaders::{Plan, Step};

use crate::engine::{Engine, MemoryUse, heads, kv_bytes};
use crate::error::Error;
use crate::gpu::{DeviceBuffers, GpuError, Prepared, Readback};
use crate::kv_cache::KvCache;
use crate::model::{Pass, SCORED, Scratch, prefill_chunk};
use calibrate::Input;
use record::{Recorder, StepKind};
use transcript::Transcript;

/// A sequence of tokens on the GPU, and what follows it.
pub struct Session {
    engine: Engine,
    /// The engine's weights, and all that the session allocates.
    pub(crate) buffers: DeviceBuffers,
    pub(crate) kv: KvCache,
    scratch: Scratch,
    prefill_chunk: u32,
    /// The tokens, and what the GPU has of them. Nothing else says so.
    transcript: Transcript<Readback>,
    /// Plans that were recorded and bound, until what they were recorded from changes.
    pub(crate) prepared: HashMap<StepKind, Prepared>,
    /// What [`Session::calibrate`] sums up, once it was asked to.
    calibrated: Vec<Input>,
}

impl Engine {
    /// A new conversation.
    ///
    /// # Errors
    /// The GPU has no memory for the activations.
    pub async fn session(&self) -> Result<Session, Error> {
        Session::new(self.clone()).await
    }

    /// Compiles the kernels of a prompt and of an answer, which otherwise are compiled when they
    /// are first used. Worth it where another GPU may take the place of one that does not compile
    /// them: [`Gpu::open_next`].
    ///
    /// [`Gpu::open_next`]: crate::Gpu::open_next
    ///
    /// # Errors
    /// A kernel does not compile, or the GPU has no memory for a session.
    pub async fn compile(&self) -> Result<(), Error> {
        self.session().await?.compile().await
    }
}

impl Session {
    async fn new(engine: Engine) -> Result<Self, Error> {
        let inner = &engine.inner;
        let (config, caps, kv) = (inner.model.config(), inner.gpu.caps(), inner.llama.kv);
        let has_gate_biases = inner
            .llama
            .layers
            .iter()
            .any(|layer| layer.biases.gate_and_up.is_some());
        let chunk = prefill_chunk(config, heads(config), kv, caps, has_gate_biases);
        let mut buffers = inner.buffers.clone();
        let declare = |table: &mut _| {
            Scratch::declare(
                table,
                config,
                heads(config),
                kv,
                caps,
                chunk,
                has_gate_biases,
            )
        };
        let scratch = buffers.allocate(declare).await?;
        let ring = scratch.tails.first().map_or(0, |tail| tail.len);
        Ok(Self {
            buffers,
            kv: inner.kv_cache(),
            scratch,
            prefill_chunk: chunk,
            transcript: Transcript::new(kv.tail_block(), ring),
            prepared: HashMap::new(),
            calibrated: Vec::new(),
            engine,
        })
    }

    /// The tokens so far.
    pub fn tokens(&self) -> &[u32] {
        self.transcript.tokens()
    }

    /// Tokens that fit at most.
    pub fn context(&self) -> u32 {
        self.engine.context()
    }

    /// The engine that the session runs on.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Memory of the session now, the weights included.
    pub fn memory(&self) -> MemoryUse {
        let (weights, kv) = (self.engine.memory().weights, self.kv.bytes());
        MemoryUse {
            weights,
            kv,
            scratch: self.buffers.bytes().saturating_sub(weights + kv),
        }
    }

    /// Bytes of the KV cache that the GPU has no room for, and that every step reads from the host.
    pub fn spilled_bytes(&self) -> u64 {
        self.kv.spilled_bytes()
    }

    /// Tokens that a prefill pass takes.
    pub fn prefill_chunk(&self) -> u32 {
        self.prefill_chunk
    }

    /// Bytes of KV cache that a token takes.
    pub fn kv_bytes_per_token(&self) -> u64 {
        let config = self.engine.model().config();
        kv_bytes(config, self.engine.kv_format())
    }

    /// Forgets all tokens from `len` on. What is left needs no computing again, but for the last
    /// token's logits.
    pub fn truncate(&mut self, len: usize) {
        self.transcript.truncate(len);
    }

    /// Appends tokens. `progress` hears how many are done, of how many, after each pass, and may
    /// stop the work.
    ///
    /// # Errors
    /// A token does not exist, they do not fit (then none is appended), the GPU fails, or
    /// `progress` said [`ControlFlow::Break`]: then the tokens done so far stay.
    pub async fn prefill(
        &mut self,
        tokens: &[u32],
        progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        self.check(tokens)?;
        self.restore_tail_block(self.tokens().len()).await?;
        let mut done = 0;
        while done < tokens.len() {
            let count = self
                .pass(&tokens[done..], false, StepKind::Transformer)
                .await?;
            done += count;
            if done == tokens.len() {
                self.submit(StepKind::Logits, Step::new(0, count as u32))
                    .await?;
                self.transcript.set_logits();
            }
            self.settle().await?;
            if progress(done, tokens.len()).is_break() && done < tokens.len() {
                return Err(Error::Stopped);
            }
        }
        Ok(())
    }

    /// Appends tokens as [`Session::prefill`] does, and hands over the logits after each: `(index
    /// into tokens, logits)`.
    ///
    /// # Errors
    /// As [`Session::prefill`], or a logit is not finite: the tokens of that pass stay.
    pub async fn score(
        &mut self,
        tokens: &[u32],
        each: &mut dyn FnMut(usize, &[f32]),
    ) -> Result<(), Error> {
        self.check(tokens)?;
        self.restore_tail_block(self.tokens().len()).await?;
        let vocab = self.engine.model().config().vocab as usize;
        let mut done = 0;
        while done < tokens.len() {
            let count = self
                .pass(&tokens[done..], true, StepKind::Transformer)
                .await?;
            let step = Step::new(0, count as u32);
            self.submit(StepKind::Outputs, step).await?;
            for first in (0..count).step_by(SCORED as usize) {
                self.submit(
                    StepKind::Scores {
                        first: first as u32,
                    },
                    step,
                )
                .await?;
                let read = self.buffers.memory().read(self.scratch.scores).await;
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
            heads(self.engine.model().config()),
            self.engine.kv_format(),
            1,
        );
        // Whole tiles of 32 positions, enough of them that a write is worth its while.
        let noise = noise.map(|tile| tile.repeat((1 << 18) / tile.len() + 1));
        while self.tokens().len() < len {
            let position = self.tokens().len() as u32 / 32 * 32;
            let segments = self.reserve(position, 1).await?.segments;
            let end = self.kv.segments().end_of(segments - 1);
            self.transcript.overwrite_from(position as usize);
            self.kv
                .fill(self.buffers.memory(), position..end, &noise)
                .await?;
            let filled = len.min(end as usize) - position as usize;
            self.transcript.append_cached(&vec![0; filled]);
        }
        Ok(())
    }

    /// The logits after the last token, one for each token of the vocabulary.
    ///
    /// # Errors
    /// There are no tokens yet, a logit is not finite, or the GPU fails.
    pub async fn logits(&mut self) -> Result<Vec<f32>, Error> {
        self.ensure_logits().await?;
        let vocab = self.engine.model().config().vocab as usize;
        let read = self.buffers.memory().read(self.scratch.logits).await;
        let bytes = self.settled(read)?;
        let mut logits: Vec<f32> = bytemuck::pod_collect_to_vec(&bytes);
        logits.truncate(vocab);
        check_finite(&logits, self.tokens().len().saturating_sub(1))?;
        Ok(logits)
    }

    /// The plan of the next decode step, a line for each dispatch.
    ///
    /// # Errors
    /// There is no room for another token, in the context or in the GPU's memory.
    pub async fn plan_text(&mut self) -> Result<String, Error> {
        self.check_room(1)?;
        let pass = self.reserve(self.tokens().len() as u32, 1).await?;
        let mut text = self
            .record(StepKind::Decode(pass))
            .display(self.buffers.table())
            .to_string();
        text.push_str(
            &self
                .record(StepKind::Choose {
                    greedy: true,
                    adjusted: false,
                })
                .display(self.buffers.table())
                .to_string(),
        );
        Ok(text)
    }

    fn check_room(&self, tokens: usize) -> Result<(), Error> {
        let (used, context) = (self.tokens().len(), self.context());
        if used + tokens > context as usize {
            Err(Error::ContextFull {
                tokens,
                used,
                context,
            })
        } else {
            Ok(())
        }
    }

    /// Checks that tokens exist, and that there is room for them.
    fn check(&self, tokens: &[u32]) -> Result<(), Error> {
        self.check_room(tokens.len())?;
        self.check_ids(tokens)
    }

    fn check_ids(&self, tokens: &[u32]) -> Result<(), Error> {
        let vocab = self.engine.model().config().vocab;
        tokens
            .iter()
            .find(|&&id| id >= vocab)
            .map_or(Ok(()), |&id| Err(Error::NoSuchToken { id, vocab }))
    }

    /// Checks that a session can hold exactly `tokens`: a prompt that can't be read is refused
    /// before anything that the session holds is forgotten for it.
    ///
    /// # Errors
    /// A token does not exist, or there are more than the context holds.
    pub fn check_prompt(&self, tokens: &[u32]) -> Result<(), Error> {
        let context = self.context();
        if tokens.len() > context as usize {
            return Err(Error::ContextFull {
                tokens: tokens.len(),
                used: 0,
                context,
            });
        }
        self.check_ids(tokens)
    }

    /// Makes room in the KV cache for the token at `position`; the pass for up to `wanted` tokens
    /// from there.
    async fn reserve(&mut self, position: u32, wanted: u32) -> Result<Pass, Error> {
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
        let chunk = if wanted > 1 { self.prefill_chunk } else { 1 };
        let single_pass = chunk == 1 && position < MAX_SINGLE_PASS_TOKENS;
        Ok(Pass {
            chunk,
            segments,
            single_pass,
            outputs: true,
        })
    }

    /// Runs the transformer on as many of `tokens` as one pass takes, and appends them. Returns how
    /// many. What comes out is there where `outputs` says so, and after the last token.
    async fn pass(
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
    async fn restore_tail_block(&mut self, position: usize) -> Result<(), Error> {
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
    async fn ensure_logits(&mut self) -> Result<(), Error> {
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
    async fn settle(&mut self) -> Result<(), Error> {
        let finished = self.engine.gpu().finish().await;
        self.settled(finished)?;
        self.transcript.settle();
        Ok(())
    }

    /// The result of a wait for the GPU.
    fn settled<T>(&mut self, waited: Result<T, GpuError>) -> Result<T, Error> {
        if let Err(GpuError::MemoryRefused { .. }) = &waited {
            self.transcript.forget_unsettled();
        }
        Ok(waited?)
    }

    /// Compiles the kernels of prefill and decode in a context that is nearly empty.
    async fn compile(&mut self) -> Result<(), Error> {
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
    async fn prepare(&mut self, work: StepKind) -> Result<&Prepared, Error> {
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
    fn stays_inside(&self, work: StepKind, step: Step) -> bool {
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
            StepKind::Choose { .. } => true,
        }
    }

    async fn submit(&mut self, work: StepKind, step: Step) -> Result<(), Error> {
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

    fn record(&self, work: StepKind) -> Plan {
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

/// Checks the logits that were computed from the token at `position`.
fn check_finite(logits: &[f32], position: usize) -> Result<(), Error> {
    match logits.iter().all(|logit| logit.is_finite()) {
        true => Ok(()),
        false => Err(Error::LogitsNotFinite { position }),
    }
}
