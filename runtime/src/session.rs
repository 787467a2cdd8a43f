//! A conversation: tokens, their KV cache, and the next token.

use std::collections::HashMap;
use std::ops::ControlFlow;

use godwit_shaders::adjust::adjust;
use godwit_shaders::argmax::argmax;
use godwit_shaders::kv::noise;
use godwit_shaders::sample::sample;
use godwit_shaders::{Buffers, Plan, Step};

use crate::decode::Ahead;
use crate::engine::{Engine, Spilling};
use crate::error::Error;
use crate::gpu::{GpuMemory, Prepared};
use crate::memory::{MemoryUse, heads, kv_bytes};
use crate::model::{Kv, Pass, SCORED, Scratch};
use crate::observe::{Input, observed};
use crate::spill::Spill;

/// What a prepared plan does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Work {
    Transformer(Pass),
    /// A token's logits too.
    Decode(Pass),
    /// The transformer, with inputs' squares summed up.
    Observed(Pass),
    Logits,
    Outputs,
    Scores {
        first: u32,
    },
    Choose {
        greedy: bool,
        adjusted: bool,
    },
}

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
    pub(crate) tokens: Vec<u32>,
    /// The first position from which on all tokens' keys and values are in the rings of [`Recent`](godwit_shaders::Recent).
    pub(crate) recent_from: usize,
    /// Whether the logits on the GPU are those after the last token, and those that are ahead of it.
    pub(crate) has_logits: bool,
    /// Tokens that were chosen, and run through the transformer, before anyone has asked for them.
    pub(crate) ahead: Ahead,
    pub(crate) prepared: HashMap<Work, Prepared>,
    /// What [`Session::observe`] sums up, once it was asked to.
    pub(crate) observed: Vec<Input>,
}

impl Session {
    pub(crate) async fn new(engine: Engine) -> Result<Self, Error> {
        let inner = &engine.inner;
        let (config, caps) = (inner.model.config(), inner.gpu.caps());
        let mut table = inner.table.clone();
        let chunk = caps.tuning.pass_tokens;
        let has_gate_biases = inner.llama.layers.iter().any(|layer| layer.biases.gate_and_up.is_some());
        let scratch = Scratch::declare(&mut table, config, heads(config), inner.llama.kv, caps, chunk, has_gate_biases);
        let mut memory = inner.memory.clone();
        memory.allocate(&table).await?;
        let kv = inner.kv();
        let spill = match inner.spill {
            Spilling::Never => None,
            Spilling::Host { memory } => Some(Spill::new(memory)),
        };
        let (tokens, prepared) = (Vec::new(), HashMap::new());
        let (recent_from, has_logits, ahead, observed) = (0, false, Ahead::default(), Vec::new());
        Ok(Self {
            engine,
            table,
            memory,
            kv,
            spill,
            scratch,
            chunk,
            tokens,
            recent_from,
            has_logits,
            ahead,
            prepared,
            observed,
        })
    }

    /// The tokens so far.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
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
        MemoryUse { weights, kv, scratch: self.table.bytes().saturating_sub(weights + kv) }
    }

    /// Bytes of the KV cache that the GPU has no room for, and that every step reads from the host.
    pub fn spilled_bytes(&self) -> u64 {
        self.spill.as_ref().map_or(0, Spill::bytes)
    }

    /// Tokens that a prefill pass takes.
    pub fn pass_tokens(&self) -> u32 {
        self.chunk
    }

    /// Bytes of KV cache that a token takes.
    pub fn kv_bytes_per_token(&self) -> u64 {
        let config = self.engine.model().config();
        kv_bytes(config, self.engine.kv_format())
    }

    /// Forgets all tokens from `len` on. What is left needs no computing again, but for the last token's logits.
    pub fn truncate(&mut self, len: usize) {
        if len < self.tokens.len() {
            self.forget_ahead();
            self.tokens.truncate(len);
            self.recent_from = self.recent_from.min(len);
            self.has_logits = false;
        }
    }

    /// Appends tokens. `progress` hears how many are done, of how many, after each pass, and may stop the work.
    ///
    /// # Errors
    /// A token does not exist, they do not fit (then none is appended), the GPU fails, or `progress` said
    /// [`ControlFlow::Break`]: then the tokens done so far stay.
    pub async fn prefill(
        &mut self,
        tokens: &[u32],
        progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        self.check(tokens)?;
        self.restore_page().await?;
        let mut done = 0;
        while done < tokens.len() {
            let count = self.pass(&tokens[done..], false, Work::Transformer).await?;
            done += count;
            if done == tokens.len() {
                self.submit(Work::Logits, Step::new(0, count as u32)).await?;
                self.has_logits = true;
            }
            self.engine.gpu().finish().await?;
            if progress(done, tokens.len()).is_break() && done < tokens.len() {
                return Err(Error::Stopped);
            }
        }
        Ok(())
    }

    /// Appends tokens as [`Session::prefill`] does, and hands over the logits after each: `(index into tokens, logits)`.
    ///
    /// # Errors
    /// As [`Session::prefill`], or a logit is not finite: the tokens of that pass stay.
    pub async fn score(&mut self, tokens: &[u32], each: &mut dyn FnMut(usize, &[f32])) -> Result<(), Error> {
        self.check(tokens)?;
        self.restore_page().await?;
        let vocab = self.engine.model().config().vocab as usize;
        let mut done = 0;
        while done < tokens.len() {
            let count = self.pass(&tokens[done..], true, Work::Transformer).await?;
            let step = Step::new(0, count as u32);
            self.submit(Work::Outputs, step).await?;
            for first in (0..count).step_by(SCORED as usize) {
                self.submit(Work::Scores { first: first as u32 }, step).await?;
                let bytes = self.memory.read(self.scratch.scores).await?;
                let floats: Vec<f32> = bytemuck::pod_collect_to_vec(&bytes);
                for (i, logits) in floats.chunks_exact(vocab).take(count - first).enumerate() {
                    check_finite(logits, self.tokens.len() - count + first + i)?;
                    each(done + first + i, logits);
                }
            }
            done += count;
        }
        Ok(())
    }

    /// Keeps as many tokens as `tokens` begins with, and forgets the others; at least one of `tokens` is left to compute, for
    /// its logits. Returns how many are kept.
    pub fn keep_prefix(&mut self, tokens: &[u32]) -> usize {
        let same = self.tokens.iter().zip(tokens).take_while(|(old, new)| old == new).count();
        let kept = same.min(tokens.len().saturating_sub(1));
        self.truncate(kept);
        kept
    }

    /// Appends tokens whose keys and values were written by other means.
    pub(crate) fn append_computed(&mut self, ids: &[u32]) {
        self.forget_ahead();
        self.tokens.extend_from_slice(ids);
        self.recent_from = self.tokens.len();
        self.has_logits = false;
    }

    /// Fills the context up to `len` tokens with noise, as if they had been computed: for measuring what a step takes at that
    /// depth. What follows makes no sense.
    ///
    /// # Errors
    /// They do not fit the context, or the GPU's memory.
    pub async fn fill_with_noise(&mut self, len: usize) -> Result<(), Error> {
        self.check_room(len.saturating_sub(self.tokens.len()))?;
        let noise = noise(heads(self.engine.model().config()), self.engine.kv_format(), 1);
        // Whole tiles of 32 positions, enough of them that a write is worth its while.
        let noise = noise.map(|tile| tile.repeat((1 << 18) / tile.len() + 1));
        while self.tokens.len() < len {
            let position = self.tokens.len() as u32;
            let segments = self.reserve(position, 1).await?.segments;
            let end = self.kv.end_of(segments - 1);
            for layer in self.kv.parts(position / 32 * 32..end).chunks_exact(2) {
                for (part, words) in layer.iter().zip(&noise) {
                    let bytes: &[u8] = bytemuck::cast_slice(words);
                    for at in (0..part.gpu.bytes).step_by(bytes.len()) {
                        self.memory
                            .write(part.gpu, at, &bytes[..bytes.len().min((part.gpu.bytes - at) as usize)])
                            .await?;
                    }
                }
                self.engine.gpu().finish().await?;
            }
            self.tokens.resize(len.min(end as usize), 0);
        }
        self.has_logits = false;
        Ok(())
    }

    /// The logits after the last token, one for each token of the vocabulary.
    ///
    /// # Errors
    /// There are no tokens yet, a logit is not finite, or the GPU fails.
    pub async fn logits(&mut self) -> Result<Vec<f32>, Error> {
        self.ensure_logits().await?;
        let vocab = self.engine.model().config().vocab as usize;
        let bytes = self.memory.read(self.scratch.logits).await?;
        let mut logits: Vec<f32> = bytemuck::pod_collect_to_vec(&bytes);
        logits.truncate(vocab);
        check_finite(&logits, self.tokens.len().saturating_sub(1))?;
        Ok(logits)
    }

    /// The plan of the next decode step, a line for each launch.
    ///
    /// # Errors
    /// The GPU has no memory for another token.
    pub async fn plan_text(&mut self) -> Result<String, Error> {
        let pass = self.reserve(self.tokens.len() as u32, 1).await?;
        let mut text = self.record(Work::Decode(pass)).display(&self.table).to_string();
        text.push_str(&self.record(Work::Choose { greedy: true, adjusted: false }).display(&self.table).to_string());
        Ok(text)
    }

    pub(crate) fn check_room(&self, tokens: usize) -> Result<(), Error> {
        let (used, context) = (self.tokens.len(), self.context());
        if used + tokens > context as usize { Err(Error::ContextFull { tokens, used, context }) } else { Ok(()) }
    }

    /// Checks that tokens exist, and that there is room for them.
    pub(crate) fn check(&self, tokens: &[u32]) -> Result<(), Error> {
        self.check_room(tokens.len())?;
        let vocab = self.engine.model().config().vocab;
        tokens.iter().find(|&&id| id >= vocab).map_or(Ok(()), |&id| Err(Error::NoSuchToken { id, vocab }))
    }

    /// Runs the transformer on as many of `tokens` as one pass takes, and appends them. Returns how many. What comes out is
    /// there where `outputs` says so, and after the last token.
    pub(crate) async fn pass(&mut self, tokens: &[u32], outputs: bool, work: fn(Pass) -> Work) -> Result<usize, Error> {
        let position = self.tokens.len() as u32;
        let wanted = tokens.len().min(self.chunk as usize) as u32;
        let pass = self.reserve(position, wanted).await?;
        // A pass appends to one segment only.
        let most = wanted.min(self.kv.end_of(pass.segments - 1) - position);
        let work = work(Pass { outputs: outputs || most as usize == tokens.len(), ..pass });
        let count = self.prepare(work).await?.tokens(position, most);
        let tokens = &tokens[..count as usize];
        self.has_logits = false;
        self.memory.write(self.scratch.tokens, 0, bytemuck::cast_slice(tokens)).await?;
        self.submit(work, Step::new(position, count)).await?;
        self.tokens.extend_from_slice(tokens);
        self.note_recent(self.tokens.len());
        Ok(count as usize)
    }

    /// Computes the last page's tokens again where the next ones are to see their keys and values as halves, and only the cache
    /// has them: after a truncation far back, and in a context that was read from a file.
    async fn restore_page(&mut self) -> Result<(), Error> {
        let page = self.engine.kv_format().page() as usize;
        let begin = self.tokens.len() / page * page;
        if page == 1 || self.recent_from <= begin {
            return Ok(());
        }
        let tail = self.tokens.split_off(begin);
        self.recent_from = begin;
        let mut done = 0;
        while done < tail.len() {
            match self.pass(&tail[done..], false, Work::Transformer).await {
                Ok(count) => done += count,
                Err(error) => {
                    self.truncate(begin);
                    self.append_computed(&tail);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// After a pass that ends at this position: its tokens took the place of the oldest in the rings.
    pub(crate) fn note_recent(&mut self, end: usize) {
        let len = self.scratch.recent.first().map_or(0, |recent| recent.len as usize);
        self.recent_from = self.recent_from.max(end.saturating_sub(len));
    }

    /// Sees to it that the logits on the GPU are those after the last token.
    pub(crate) async fn ensure_logits(&mut self) -> Result<(), Error> {
        self.forget_ahead();
        if !self.has_logits {
            let last = self.tokens.pop().ok_or(Error::Empty)?;
            let before = self.tokens.len();
            if let Err(error) = self.prefill(&[last], &mut |_, _| ControlFlow::Continue(())).await {
                // It may fail before the token is appended, and after.
                self.tokens.truncate(before);
                self.tokens.push(last);
                return Err(error);
            }
        }
        Ok(())
    }

    /// The plan of some work, ready to be submitted.
    pub(crate) async fn prepare(&mut self, work: Work) -> Result<&Prepared, Error> {
        if !self.prepared.contains_key(&work) {
            if let Work::Transformer(pass) | Work::Decode(pass) = work {
                // Plans over fewer segments won't come again, but after a truncation.
                self.prepared.retain(|old, _| match old {
                    Work::Transformer(p) | Work::Decode(p) => p.segments == pass.segments,
                    _ => true,
                });
            }
            let plan = self.record(work);
            let prepared = Prepared::new(self.engine.gpu(), &self.memory, &plan, self.scratch.step).await?;
            return Ok(self.prepared.entry(work).or_insert(prepared));
        }
        Ok(&self.prepared[&work])
    }

    pub(crate) async fn submit(&mut self, work: Work, step: Step) -> Result<(), Error> {
        self.prepare(work).await?;
        let prepared = &self.prepared[&work];
        match &self.spill {
            Some(spill) if prepared.has_uploads() => {
                let host = |piece, from, into: &mut [u8]| spill.read(piece, from, into).map_err(Error::from);
                prepared.stream(&self.memory, step, host).await
            }
            _ => Ok(prepared.submit(&self.memory, step).await?),
        }
    }

    fn record(&self, work: Work) -> Plan {
        let inner = &self.engine.inner;
        let (llama, caps, s, vocab) = (&inner.llama, inner.gpu.caps(), &self.scratch, inner.model.config().vocab);
        match work {
            Work::Transformer(pass) => llama.transformer(caps, &self.kv, s, pass),
            Work::Decode(pass) => llama.decode(caps, &self.kv, s, pass),
            Work::Observed(pass) => {
                // For more than one token, norms are steps of their own, whose results are what is observed.
                let pass = Pass { capacity: pass.capacity.max(2), ..pass };
                observed(llama.transformer(caps, &self.kv, s, pass), &self.observed)
            }
            Work::Logits => llama.logits(caps, s),
            Work::Outputs => llama.outputs(caps, s, self.chunk),
            Work::Scores { first } => llama.scores(caps, s, first),
            Work::Choose { greedy, adjusted } => {
                let mut plan = Plan::default();
                if adjusted {
                    adjust(&mut plan, s.choice, s.adjustments, s.logits, vocab);
                }
                match greedy {
                    true => argmax(&mut plan, s.logits, s.tokens, vocab),
                    false => sample(&mut plan, s.choice, s.logits, s.weights, s.tokens, vocab),
                }
                plan
            }
        }
    }
}

/// Checks the logits that were computed from the token at `position`.
fn check_finite(logits: &[f32], position: usize) -> Result<(), Error> {
    match logits.iter().all(|logit| logit.is_finite()) {
        true => Ok(()),
        false => Err(Error::LogitsNotFinite { position }),
    }
}
