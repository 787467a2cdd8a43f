//! A model on a GPU.

use std::sync::Arc;

use godwit_shaders::{Buffers, Heads, KvFormat};

use crate::error::Error;
use crate::format::Gguf;
use crate::gpu::{Gpu, GpuMemory};
use crate::model::{Config, Llama, Loader, Model, Progress};
use crate::session::Session;

/// How a model is loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineOptions {
    /// Tokens that a session holds at most. None: the model's whole window; memory is taken as it fills.
    pub context: Option<u32>,
    /// Positions in a segment of the KV cache. None: doubling segments, as large as bindings may be.
    pub segment_tokens: Option<u32>,
    /// How the KV cache is stored.
    pub kv: KvFormat,
}

/// GPU memory in bytes, by use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUse {
    /// Weights and rotation tables.
    pub weights: u64,
    /// The KV cache.
    pub kv: u64,
    /// Activations and logits.
    pub scratch: u64,
}

impl MemoryUse {
    /// What a session of `context` tokens will take.
    pub fn estimate(config: &Config, gguf: &Gguf, context: u32, kv: KvFormat) -> Self {
        let heads = heads(config);
        let per_token = 4 * u64::from(2 * config.width + 2 * config.ffn + 2 * heads.heads * heads.head_dim);
        Self {
            weights: gguf.tensors().iter().map(|tensor| tensor.bytes).sum(),
            kv: u64::from(context.next_multiple_of(64)) * kv_bytes(config, kv),
            scratch: 256 * per_token + 4 * 14 * u64::from(config.vocab),
        }
    }

    /// All of it.
    pub fn total(&self) -> u64 {
        self.weights + self.kv + self.scratch
    }
}

/// Bytes of KV cache that a token takes.
pub(crate) fn kv_bytes(config: &Config, kv: KvFormat) -> u64 {
    kv.bytes(heads(config)).iter().sum::<u64>() * u64::from(config.layers)
}

pub(crate) fn heads(config: &Config) -> Heads {
    Heads { heads: config.heads, kv_heads: config.kv_heads, head_dim: config.head_dim }
}

/// A model's weights on a GPU. Cheap to clone; all clones are the same weights.
#[derive(Clone)]
pub struct Engine {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub gpu: Gpu,
    pub model: Model,
    pub llama: Llama,
    pub table: Buffers,
    pub memory: GpuMemory,
    pub context: u32,
    pub segment_tokens: Option<u32>,
}

impl Engine {
    /// Loads the model's weights; `progress` hears how far it is.
    ///
    /// # Errors
    /// A tensor is missing or of the wrong shape, the file can't be read, or the GPU has too little memory.
    pub async fn load(
        gpu: Gpu,
        model: &Model,
        options: &EngineOptions,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self, Error> {
        let window = model.config().context;
        let context = options.context.unwrap_or(window);
        if context > window {
            return Err(Error::Window { asked: context, window });
        }
        let mut loader = Loader::new(model, &gpu, progress);
        let llama = loader.llama(context, options.kv).await?;
        let Loader { table, memory, .. } = loader;
        let segment_tokens = options.segment_tokens;
        let model = model.clone();
        Ok(Self { inner: Arc::new(Inner { gpu, model, llama, table, memory, context, segment_tokens }) })
    }

    /// A new conversation.
    ///
    /// # Errors
    /// The GPU has no memory for the activations.
    pub async fn session(&self) -> Result<Session, Error> {
        Session::new(self.clone()).await
    }

    /// Tokens that a session holds at most.
    pub fn context(&self) -> u32 {
        self.inner.context
    }

    /// The GPU.
    pub fn gpu(&self) -> &Gpu {
        &self.inner.gpu
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.inner.model
    }

    /// What the weights take; a session adds to it.
    pub fn memory(&self) -> MemoryUse {
        let table = &self.inner.table;
        let bytes = (0..table.len()).filter_map(|id| table.get(id as u32)).map(|(_, bytes)| bytes).sum();
        MemoryUse { weights: bytes, ..MemoryUse::default() }
    }
}
