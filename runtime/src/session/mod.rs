//! A conversation: tokens, their KV cache, and the next token.
//!
//! [`Session`] is spread over files by what it does: [`prefill`], [`decode`], [`snapshot`],
//! [`calibrate`], and [`steps`] under them all. What must agree has an owner each: tokens and the
//! state of the GPU after them [`transcript`], where keys and values are
//! [`KvCache`](crate::kv_cache), plans [`record`].

#[cfg(test)]
mod addresses;
mod calibrate;
mod decode;
#[cfg(test)]
mod out_of_memory;
mod prefill;
#[cfg(not(target_arch = "wasm32"))]
pub mod prefix_cache;
mod record;
#[cfg(test)]
mod reference;
pub(crate) mod snapshot;
mod steps;
#[cfg(test)]
mod tests;
mod transcript;
mod verify;

use std::collections::HashMap;

use crate::engine::{Engine, MemoryUse, heads};
use crate::error::Error;
use crate::gpu::{DeviceBuffers, Prepared, Readback};
use crate::kv_cache::KvCache;
use crate::model::Scratch;
use calibrate::Input;
use record::StepKind;
use transcript::Transcript;

pub use prefill::Reuse;

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
        let has_gate_biases = inner.llama.has_gate_biases();
        let chunk = engine.prefill_chunk();
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
        self.engine.kv_bytes_per_token()
    }

    /// Forgets all tokens from `len` on. What is left needs no computing again, but for the last
    /// token's logits.
    pub fn truncate(&mut self, len: usize) {
        self.transcript.truncate(len);
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
}

/// Checks the logits that were computed from the token at `position`.
fn check_finite(logits: &[f32], position: usize) -> Result<(), Error> {
    match logits.iter().all(|logit| logit.is_finite()) {
        true => Ok(()),
        false => Err(Error::LogitsNotFinite { position }),
    }
}
