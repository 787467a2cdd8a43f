//! A conversation: tokens, their KV cache, and the next token.

use std::collections::HashMap;
use std::ops::{ControlFlow, Range};

use godwit_shaders::kv::noise;
use godwit_shaders::{Buffers, Plan, Step};

use crate::engine::{Engine, Spilling};
use crate::error::Error;
use crate::gpu::{GpuError, GpuMemory, Prepared, Readback};
use crate::memory::{MemoryUse, heads, kv_bytes};
use crate::model::{Kv, Pass, SCORED, Scratch, prefill_chunk};
use crate::observe::Input;
use crate::record::Recorder;
pub(crate) use crate::record::StepKind;
use crate::spill::Spill;
use crate::transcript::Transcript;

/// A sequence of tokens on the GPU, and what follows it.
pub struct Session {
    engine: Engine,
    pub(crate) table: Buffers,
    pub(crate) memory: GpuMemory,
    pub(crate) kv: Kv,
    /// Segments that the GPU has no room for; none where they may not leave it.
    pub(crate) spill: Option<Spill>,
    pub(crate) scratch: Scratch,
    /// Tokens of a prefill pass.
    pub(crate) chunk: u32,
    /// The tokens, and what the GPU has of them. Nothing else says so.
    pub(crate) transcript: Transcript<Readback>,
    pub(crate) prepared: HashMap<StepKind, Prepared>,
    /// What [`Session::observe`] sums up, once it was asked to.
    pub(crate) observed: Vec<Input>,
}

impl Session {
    pub(crate) async fn new(engine: Engine) -> Result<Self, Error> {
        let inner = &engine.inner;
        let (config, caps) = (inner.model.config(), inner.gpu.caps());
        let mut table = inner.table.clone();
        let has_gate_biases = inner
            .llama
            .layers
            .iter()
            .any(|layer| layer.biases.gate_and_up.is_some());
        let chunk = prefill_chunk(config, heads(config), inner.llama.kv, caps, has_gate_biases);
        let scratch = Scratch::declare(
            &mut table,
            config,
            heads(config),
            inner.llama.kv,
            caps,
            chunk,
            has_gate_biases,
        );
        let mut memory = inner.memory.clone();
        memory.allocate(&table).await?;
        let kv = inner.kv();
        let spill = match inner.spill {
            Spilling::Never => None,
            Spilling::Host { memory } => Some(Spill::new(memory, inner.spill_folder.clone())),
        };
        let ring = scratch.tails.first().map_or(0, |tail| tail.len);
        let transcript = Transcript::new(inner.llama.kv.tail_block(), ring);
        let (prepared, observed) = (HashMap::new(), Vec::new());
        Ok(Self {
            engine,
            table,
            memory,
            kv,
            spill,
            scratch,
            chunk,
            transcript,
            prepared,
            observed,
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

    /// What the session takes now, the weights included.
    pub fn memory(&self) -> MemoryUse {
        let (weights, kv) = (self.engine.memory().weights, self.kv.bytes());
        MemoryUse {
            weights,
            kv,
            scratch: self.table.bytes().saturating_sub(weights + kv),
        }
    }

    /// Bytes of the KV cache that the GPU has no room for, and that every step reads from the host.
    pub fn spilled_bytes(&self) -> u64 {
        self.spill.as_ref().map_or(0, Spill::bytes)
    }

    /// Tokens that a prefill pass takes.
    pub fn prefill_chunk(&self) -> u32 {
        self.chunk
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
                let read = self.memory.read(self.scratch.scores).await;
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
            let end = self.kv.end_of(segments - 1);
            self.transcript.overwrite_from(position as usize);
            for layer in self.kv.parts(position..end).chunks_exact(2) {
                for (part, words) in layer.iter().zip(&noise) {
                    let bytes: &[u8] = bytemuck::cast_slice(words);
                    for at in (0..part.gpu.bytes).step_by(bytes.len()) {
                        self.memory
                            .write(
                                part.gpu,
                                at,
                                &bytes[..bytes.len().min((part.gpu.bytes - at) as usize)],
                            )
                            .await?;
                    }
                }
                self.engine.gpu().finish().await?;
            }
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
        let read = self.memory.read(self.scratch.logits).await;
        let bytes = self.settled(read)?;
        let mut logits: Vec<f32> = bytemuck::pod_collect_to_vec(&bytes);
        logits.truncate(vocab);
        check_finite(&logits, self.tokens().len().saturating_sub(1))?;
        Ok(logits)
    }

    /// The plan of the next decode step, a line for each launch.
    ///
    /// # Errors
    /// There is no room for another token, in the context or in the GPU's memory.
    pub async fn plan_text(&mut self) -> Result<String, Error> {
        self.check_room(1)?;
        let pass = self.reserve(self.tokens().len() as u32, 1).await?;
        let mut text = self
            .record(StepKind::Decode(pass))
            .display(&self.table)
            .to_string();
        text.push_str(
            &self
                .record(StepKind::Choose {
                    greedy: true,
                    adjusted: false,
                })
                .display(&self.table)
                .to_string(),
        );
        Ok(text)
    }

    pub(crate) fn check_room(&self, tokens: usize) -> Result<(), Error> {
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
    pub(crate) fn check(&self, tokens: &[u32]) -> Result<(), Error> {
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

    /// Runs the transformer on as many of `tokens` as one pass takes, and appends them. Returns how
    /// many. What comes out is there where `outputs` says so, and after the last token.
    pub(crate) async fn pass(
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
        let wanted = tokens.len().min(self.chunk as usize) as u32;
        let pass = self.reserve(position, wanted).await?;
        // A pass appends to one segment only.
        let most = wanted.min(self.kv.end_of(pass.segments - 1) - position);
        let work = work(Pass {
            outputs: outputs || most as usize == tokens.len(),
            ..pass
        });
        let count = self.prepare(work).await?.tokens(position, most);
        let tokens = &tokens[..count as usize];
        self.transcript.begin_pass((position + count) as usize);
        self.memory
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
    pub(crate) async fn ensure_logits(&mut self) -> Result<(), Error> {
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

    /// What a wait for the GPU came to.
    pub(crate) fn settled<T>(&mut self, waited: Result<T, GpuError>) -> Result<T, Error> {
        if let Err(GpuError::MemoryRefused { .. }) = &waited {
            self.transcript.forget_unsettled();
        }
        Ok(waited?)
    }

    /// Compiles the kernels of prefill and decode in a context that is nearly empty.
    pub(crate) async fn compile(&mut self) -> Result<(), Error> {
        let many = self.reserve(0, self.chunk).await?;
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
    pub(crate) async fn prepare(&mut self, work: StepKind) -> Result<&Prepared, Error> {
        if !self.prepared.contains_key(&work) {
            if let StepKind::Transformer(pass) | StepKind::Decode(pass) = work {
                // Plans over fewer segments won't come again, but after a truncation.
                self.prepared.retain(|old, _| match old {
                    StepKind::Transformer(p) | StepKind::Decode(p) => p.segments == pass.segments,
                    _ => true,
                });
            }
            let plan = self.record(work);
            let prepared =
                Prepared::new(self.engine.gpu(), &self.memory, &plan, self.scratch.step).await?;
            return Ok(self.prepared.entry(work).or_insert(prepared));
        }
        Ok(&self.prepared[&work])
    }

    /// Whether a step has no more tokens than its plan is for, and ends in the segments that the
    /// plan reads. Kernels that run unchecked rely on it.
    fn stays_inside(&self, work: StepKind, step: Step) -> bool {
        match work {
            StepKind::Transformer(pass) | StepKind::Decode(pass) | StepKind::Observed(pass) => {
                let end = step.position.checked_add(step.count);
                (1..=pass.chunk).contains(&step.count)
                    && end.is_some_and(|end| {
                        end <= self.kv.end_of(pass.segments - 1).min(self.context())
                    })
            }
            StepKind::Logits | StepKind::Outputs | StepKind::Scores { .. } => {
                (1..=self.chunk).contains(&step.count)
            }
            StepKind::Choose { .. } => true,
        }
    }

    pub(crate) async fn submit(&mut self, work: StepKind, step: Step) -> Result<(), Error> {
        // Kernels run without checks: see `gpu/pipelines.rs`.
        assert!(
            self.stays_inside(work, step),
            "{step:?} leaves the plan of {work:?}"
        );
        self.prepare(work).await?;
        let prepared = &self.prepared[&work];
        match &self.spill {
            Some(spill) if prepared.has_uploads() => {
                let host = |piece, from, into: &mut [u8]| {
                    spill.read(piece, from, into).map_err(Error::from)
                };
                prepared.stream(&self.memory, step, host).await
            }
            _ => Ok(prepared.submit(&self.memory, step).await?),
        }
    }

    fn record(&self, work: StepKind) -> Plan {
        let inner = &self.engine.inner;
        let recorder = Recorder {
            llama: &inner.llama,
            caps: inner.gpu.caps(),
            kv: &self.kv,
            scratch: &self.scratch,
            observed: &self.observed,
            chunk: self.chunk,
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
