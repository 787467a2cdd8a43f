//! A conversation: tokens, their KV cache, and the next token.
//!
//! [`Session`] is spread over files by what it does: [`prefill`], [`decode`], [`snapshot`],
//! [`calibrate`], and [`steps`] under them all. What must agree has an owner each: tokens and the
//! state of the GPU after them [`transcript`], keys, values and plans
//! [`Executor`](crate::executor::Executor).

mod calibrate;
mod decode;
#[cfg(test)]
mod out_of_memory;
mod prefill;
#[cfg(test)]
mod reference;
pub(crate) mod snapshot;
mod steps;
#[cfg(test)]
mod tests;
mod transcript;
mod verify;

use godwit_shaders::BufferRef;

use crate::engine::{Engine, MemoryUse};
use crate::error::Error;
use crate::executor::choose::RowChoice;
use crate::executor::{Executor, Work};
use crate::gpu::Readback;
use crate::model::ScratchSize;
use transcript::Transcript;

pub use prefill::Reuse;

/// A sequence of tokens on the GPU, and what follows it.
pub struct Session {
    pub(crate) executor: Executor,
    /// The tokens, and what the GPU has of them. Nothing else says so.
    transcript: Transcript<Readback>,
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
        let (config, kv) = (inner.model.config(), inner.llama.kv);
        let size = ScratchSize::of_sequence(config, engine.prefill_chunk());
        let executor = Executor::new(&engine, inner.kv_cache(), size).await?;
        let ring = executor.scratch.tails.first().map_or(0, |tail| tail.len);
        Ok(Self {
            executor,
            transcript: Transcript::new(kv.tail_block(), ring),
        })
    }

    /// The tokens so far.
    pub fn tokens(&self) -> &[u32] {
        self.transcript.tokens()
    }

    /// Tokens that fit at most.
    pub fn context(&self) -> u32 {
        self.engine().context()
    }

    /// The engine that the session runs on.
    pub fn engine(&self) -> &Engine {
        &self.executor.engine
    }

    /// Memory of the session now, the weights included.
    pub fn memory(&self) -> MemoryUse {
        let (weights, kv) = (self.engine().memory().weights, self.executor.kv.bytes());
        MemoryUse {
            weights,
            kv,
            scratch: self.executor.buffers.bytes().saturating_sub(weights + kv),
        }
    }

    /// Bytes of the KV cache that the GPU has no room for, and that every step reads from the host.
    pub fn spilled_bytes(&self) -> u64 {
        self.executor.kv.spilled_bytes()
    }

    /// Tokens that a prefill pass takes.
    pub fn prefill_chunk(&self) -> u32 {
        self.executor.size.chunk
    }

    /// Bytes of KV cache that a token takes.
    pub fn kv_bytes_per_token(&self) -> u64 {
        self.engine().kv_bytes_per_token()
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
        let vocab = self.engine().model().config().vocab as usize;
        let row = BufferRef {
            bytes: 4 * vocab as u64,
            ..self.executor.scratch.logits
        };
        let read = self.executor.buffers.memory().read(row).await;
        let bytes = self.settled(read)?;
        let logits: Vec<f32> = bytemuck::pod_collect_to_vec(&bytes);
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
        let how = RowChoice {
            greedy: true,
            ..RowChoice::default()
        };
        let table = self.executor.buffers.table();
        let text = |work| self.executor.record(work).display(table).to_string();
        Ok(text(Work::Decode(pass)) + &text(Work::Choose { rows: 1, how }))
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
        let vocab = self.engine().model().config().vocab;
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
