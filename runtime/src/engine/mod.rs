//! A model's weights on a GPU, and what a session takes of its memory.

mod memory;
#[cfg(not(target_arch = "wasm32"))]
mod tuning;
mod weights;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use godwit_shaders::KvFormat;

use crate::error::Error;
use crate::gpu::{DeviceBuffers, Gpu};
use crate::kv_cache::{KvCache, KvSegments, Spilling};
use crate::model::{ContextSize, Llama, Model, prefill_chunk};
use crate::progress::OnProgress;
use crate::setters::setters;
use weights::Loader;

pub use memory::{MemoryUse, peak_process_memory};
pub(crate) use memory::{heads, kv_bytes};

/// How a model is loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineOptions {
    /// Tokens that a session holds at most.
    pub context: ContextSize,
    /// Positions in a segment of the KV cache. None: one segment that grows, as large as bindings
    /// may be, then more of them.
    pub segment_tokens: Option<u32>,
    /// How the KV cache is stored.
    pub kv: KvFormat,
    /// The place for KV cache that does not fit on the GPU.
    pub spill: Spilling,
    /// The folder for the file that a KV cache spills to. Without one it is that for temporary
    /// files, or the user's cache folder where that is in memory.
    pub spill_folder: Option<PathBuf>,
    /// Hash the weights as they are loaded, unless their hash is known. Contexts that are saved or
    /// resumed need it; without this the first of them reads all weights once more.
    pub hash_weights: bool,
}

setters! { EngineOptions {
    context: ContextSize,
    segment_tokens: Option<u32>,
    kv: KvFormat,
    spill: Spilling,
    spill_folder: Option<PathBuf>,
    hash_weights: bool,
} }

/// A model's weights on a GPU. Cheap to clone; all clones are the same weights.
#[derive(Clone)]
pub struct Engine {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub gpu: Gpu,
    pub model: Model,
    pub llama: Llama,
    pub buffers: DeviceBuffers,
    pub context: u32,
    pub segment_tokens: Option<u32>,
    pub spill: Spilling,
    pub spill_folder: Option<PathBuf>,
    /// [`Engine::fingerprint`], once it was computed.
    pub fingerprint: OnceLock<String>,
}

impl Inner {
    /// An empty KV cache for a session.
    pub fn kv_cache(&self) -> KvCache {
        KvCache::new(self.kv_segments(), self.spill, self.spill_folder.clone())
    }

    fn kv_segments(&self) -> KvSegments {
        let config = self.model.config();
        KvSegments::new(
            heads(config),
            self.llama.kv,
            config.layers,
            self.context,
            self.segment_tokens,
            self.gpu.caps(),
        )
    }

    /// The longest context whose KV cache can be allocated, found by allocating it.
    async fn context_by_trial(&self) -> u32 {
        let (mut segments, mut buffers) = (self.kv_segments(), self.buffers.clone());
        while segments.capacity() < self.context {
            let before = segments.capacity();
            if buffers
                .allocate(|table| segments.grow(table, None))
                .await
                .is_err()
            {
                // The activations take the place of what was allocated of this segment.
                return before.max(1);
            }
        }
        self.context
    }
}

impl Engine {
    /// Loads the model's weights; `progress` hears how many bytes of them are on the GPU.
    ///
    /// # Errors
    /// A tensor is missing or of the wrong shape, the file can't be read, the GPU has too little
    /// memory, or `progress` says stop.
    pub async fn load(
        gpu: Gpu,
        model: &Model,
        options: &EngineOptions,
        progress: &mut OnProgress<'_>,
    ) -> Result<Self, Error> {
        let window = model.config().context;
        let known = gpu.available_memory();
        let context = match (options.context, known) {
            (ContextSize::Tokens(asked), _) if asked > window => {
                return Err(Error::Window { asked, window });
            }
            (ContextSize::Tokens(tokens), _) => tokens,
            (ContextSize::Max, Some(bytes)) => {
                // Where nothing fits, loading says what is missing.
                MemoryUse::longest_context(model, options.kv, gpu.caps(), bytes).max(1)
            }
            (ContextSize::Max, None) | (ContextSize::Window, _) => window,
        };
        model.checkpoint().check_weights()?;
        let mut loader = Loader::new(model, &gpu, progress);
        if options.hash_weights {
            loader.hashes = model.weights_hash().while_loading();
        }
        let llama = loader.llama(context, options.kv).await?;
        let Loader {
            buffers, hashes, ..
        } = loader;
        if let Some(hashes) = hashes {
            model.weights_hash().loaded(hashes)?;
        }
        let segment_tokens = options.segment_tokens;
        let model = model.clone();
        let (spill, spill_folder) = (options.spill, options.spill_folder.clone());
        let fingerprint = OnceLock::new();
        let mut inner = Inner {
            gpu,
            model,
            llama,
            buffers,
            context,
            segment_tokens,
            spill,
            spill_folder,
            fingerprint,
        };
        if (options.context, known) == (ContextSize::Max, None) {
            inner.context = inner.context_by_trial().await;
        }
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Tokens that a session holds at most.
    pub fn context(&self) -> u32 {
        self.inner.context
    }

    /// Tokens that a pass over a prompt has at most.
    pub fn prefill_chunk(&self) -> u32 {
        let Inner {
            gpu, model, llama, ..
        } = &*self.inner;
        let (config, gate_biases) = (model.config(), llama.has_gate_biases());
        prefill_chunk(config, heads(config), llama.kv, gpu.caps(), gate_biases)
    }

    /// How the KV cache is stored.
    pub fn kv_format(&self) -> KvFormat {
        self.inner.llama.kv
    }

    /// Bytes of KV cache that a token takes.
    pub fn kv_bytes_per_token(&self) -> u64 {
        kv_bytes(self.model().config(), self.kv_format())
    }

    /// The GPU.
    pub fn gpu(&self) -> &Gpu {
        &self.inner.gpu
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.inner.model
    }

    /// Memory of the weights; a session adds to it.
    pub fn memory(&self) -> MemoryUse {
        MemoryUse {
            weights: self.inner.buffers.bytes(),
            ..MemoryUse::default()
        }
    }

    /// A hash of everything that decides what a KV cache holds: hyperparameters, rotary embedding,
    /// all weights, and how keys and values are stored.
    pub(crate) fn fingerprint(&self) -> Result<&str, Error> {
        let Inner {
            model,
            llama,
            fingerprint,
            ..
        } = &*self.inner;
        if let Some(known) = fingerprint.get() {
            return Ok(known);
        }
        let config = model.config();
        let mut hash = blake3::Hasher::new();
        hash.update(format!("{config:?} {:?} {}", llama.kv, llama.kv.tail_block()).as_bytes());
        hash.update(model.weights_hash().get()?.as_bytes());
        Ok(fingerprint.get_or_init(|| hash.finalize().to_hex().to_string()))
    }
}
