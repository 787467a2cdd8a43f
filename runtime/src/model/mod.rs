//! A model: what its file says, and its forward pass.

#[cfg(test)]
mod addresses;
mod config;
mod kv;
mod llama;
mod rope;
mod weights;

use std::fmt;
use std::sync::Arc;

use crate::chat::{ChatError, ChatTemplate};
use crate::error::Error;
use crate::format::{Gguf, Source};
use crate::sampling::Sampling;
use crate::tokenizer::Tokenizer;

pub use config::{Config, ConfigError, RopeScaling};
pub(crate) use kv::{Kv, Part};
pub(crate) use llama::{Llama, Pass, SCORED, Scratch};
pub use rope::{RopeOverride, RopeStretch};
pub(crate) use weights::Loader;
pub use weights::Progress;

/// An opened model file: hyperparameters and tokenizer, checked; the weights still in the file. Cheap to clone.
#[derive(Clone)]
pub struct Model {
    inner: Arc<Inner>,
}

struct Inner {
    gguf: Arc<Gguf>,
    config: Config,
    tokenizer: Arc<Tokenizer>,
}

impl Model {
    /// Opens a GGUF file, memory-mapped; of a split model, the first part.
    ///
    /// # Errors
    /// The file can't be read, or is not a model that Godwit runs.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(path: &std::path::Path) -> Result<Self, Error> {
        Self::from_sources(crate::native::open_parts(path)?)
    }

    /// Reads a GGUF model from its parts, in order.
    ///
    /// # Errors
    /// As [`Model::open`].
    pub fn from_sources(parts: Vec<Box<dyn Source>>) -> Result<Self, Error> {
        let gguf = Gguf::read(parts)?;
        let config = Config::read(&gguf)?;
        let tokenizer = Tokenizer::from_gguf(gguf.metadata())?;
        if tokenizer.vocab_size() > config.vocab {
            return Err(Error::VocabSize { tokens: tokenizer.vocab_size(), rows: config.vocab });
        }
        Ok(Self { inner: Arc::new(Inner { gguf: Arc::new(gguf), config, tokenizer: Arc::new(tokenizer) }) })
    }

    /// The same model with another rotary embedding than its file says.
    ///
    /// # Errors
    /// A number is out of range, or the frequencies make no sense.
    pub fn with_rope(&self, rope: &RopeOverride) -> Result<Self, Error> {
        let Inner { gguf, config, tokenizer } = &*self.inner;
        let inner = Inner { gguf: gguf.clone(), config: config.with_rope(rope)?, tokenizer: tokenizer.clone() };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The file's metadata and tensors.
    pub fn gguf(&self) -> &Gguf {
        &self.inner.gguf
    }

    /// The hyperparameters.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.inner.tokenizer
    }

    /// The chat template: the file's own, or a built-in one.
    ///
    /// # Errors
    /// The file's is no good, or it has none and none fits.
    pub fn chat(&self) -> Result<ChatTemplate, ChatError> {
        ChatTemplate::for_model(self.gguf().metadata(), self.tokenizer())
    }

    /// How tokens are chosen where the caller doesn't say. GGUF files carry no `generation_config`: Llama 3's setting.
    pub fn sampling(&self) -> Sampling {
        Sampling::default()
    }

    /// The name that the file gives the model, else the file's.
    pub fn name(&self) -> String {
        let gguf = self.gguf();
        let named = gguf.metadata().string("general.name").ok().flatten().map(str::to_owned);
        named.or_else(|| gguf.part_names().first().map(|name| (*name).to_owned())).unwrap_or_default()
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").field("name", &self.name()).field("config", self.config()).finish_non_exhaustive()
    }
}
