//! A model: what its file says, and its forward pass.

mod batch;
mod config;
mod context_size;
mod examination;
mod llama;
mod rope;
mod scratch;
mod synthetic;
mod tensors;
mod variations;
mod weights_hash;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::chat::{ChatError, ChatTemplate};
use crate::checkpoint::{Checkpoint, Repository};
use crate::error::Error;
use crate::gguf::Gguf;
use crate::io::Source;
use crate::progress::OnProgress;
use crate::sampling::{Recommended, Sampling};
use crate::tokenizer::Tokenizer;

pub(crate) use batch::{BatchPass, BatchSize, LOG_PROBS};
#[cfg(test)]
pub(crate) use config::HEAD_DIMS;
pub(crate) use config::ROPE_FACTORS;
pub use config::{Config, RopeScaling};
pub use context_size::{BadContextSize, ContextSize, tokens};
pub use examination::Examination;
pub(crate) use llama::{Biases, Layer, Llama, Pass, SCORED};
pub use rope::{BadStretch, RopeOverride, RopeStretch};
#[cfg(test)]
pub(crate) use scratch::pass_chunks;
pub(crate) use scratch::{Scratch, ScratchSize, pass_chunk, prefill_chunk};
pub use synthetic::{BadSynthetic, Synthetic};
pub(crate) use tensors::{has_gate_biases, used_tensors};
pub(crate) use weights_hash::{TensorHashes, WeightsHash};

/// An opened model: hyperparameters and tokenizer, checked; the weights still in their files. Cheap
/// to clone.
#[derive(Clone)]
pub struct Model {
    inner: Arc<Inner>,
}

#[derive(Clone)]
struct Inner {
    checkpoint: Arc<dyn Checkpoint>,
    config: Config,
    tokenizer: Arc<Tokenizer>,
    sampling: Recommended,
    weights: Arc<WeightsHash>,
    notes: Vec<String>,
}

impl Model {
    /// Opens a model, memory-mapped: a GGUF file (of a split model, the first part), or the folder
    /// of a repository with safetensors.
    ///
    /// # Errors
    /// A file can't be read, or it is not a model that Godwit runs.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(path: &std::path::Path) -> Result<Self, Error> {
        Self::open_with(path, crate::io::Access::Mapped)
    }

    /// [`Model::open`], with a choice of how the files are read.
    ///
    /// # Errors
    /// As [`Model::open`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open_with(path: &std::path::Path, access: crate::io::Access) -> Result<Self, Error> {
        Self::from_checkpoint(crate::checkpoint::open_checkpoint_with(path, access)?)
    }

    /// Opens a GGUF model inside a larger file, memory-mapped: `len` bytes from `offset` on, which
    /// may be any.
    ///
    /// # Errors
    /// As [`Model::open`]; or the file ends before the region does.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open_region(path: &std::path::Path, offset: u64, len: u64) -> Result<Self, Error> {
        let file = crate::io::open_file(path)?;
        Self::from_sources(vec![Box::new(crate::io::Region::new(file, offset, len)?)])
    }

    /// Reads a GGUF model from its parts, in order: [`Bytes`](crate::Bytes) in memory, a
    /// [`Region`](crate::Region) of another source, a [`Reader`](crate::Reader) over anything that
    /// reads and seeks, or a [`Source`] of the caller's own.
    ///
    /// # Errors
    /// As [`Model::open`].
    pub fn from_sources(parts: Vec<Box<dyn Source>>) -> Result<Self, Error> {
        Self::from_checkpoint(Arc::new(Gguf::read(parts)?))
    }

    /// Reads a model from the files of a Hugging Face repository of this name.
    ///
    /// # Errors
    /// As [`Model::open`].
    pub fn from_repository(name: &str, files: Vec<Box<dyn Source>>) -> Result<Self, Error> {
        Self::from_checkpoint(Arc::new(Repository::read(name, files)?))
    }

    /// A model from whatever it is stored in.
    ///
    /// # Errors
    /// As [`Model::open`].
    pub fn from_checkpoint(checkpoint: Arc<dyn Checkpoint>) -> Result<Self, Error> {
        Self::from_checkpoint_with(checkpoint, &RopeOverride::default())
    }

    /// [`Model::from_checkpoint`], with another rotary embedding than the file's. What `rope`
    /// replaces need not be valid in the file.
    ///
    /// # Errors
    /// As [`Model::open`]; or a number of `rope` is out of range.
    pub fn from_checkpoint_with(
        checkpoint: Arc<dyn Checkpoint>,
        rope: &RopeOverride,
    ) -> Result<Self, Error> {
        let Examination {
            config,
            obstacles,
            unused_keys_notes,
            mut notes,
            ..
        } = Examination::of(checkpoint.as_ref(), rope);
        let config = match (config, obstacles.into_iter().next()) {
            (Some(config), None) => config,
            (_, Some(obstacle)) => return Err(obstacle),
            // Hyperparameters that make no sense are an obstacle; this reads them again, for their
            // error.
            (None, None) => Config::read_with(checkpoint.as_ref(), rope)?,
        };
        let tokenizer = checkpoint.tokenizer()?.with_rows(config.vocab)?;
        notes.extend(unused_keys_notes);
        notes.extend_from_slice(tokenizer.notes());
        let sampling = Recommended::read(checkpoint.metadata());
        let tokenizer = Arc::new(tokenizer);
        let weights = Arc::new(WeightsHash::stored(checkpoint.clone()));
        Ok(Self {
            inner: Arc::new(Inner {
                checkpoint,
                config,
                tokenizer,
                sampling,
                weights,
                notes,
            }),
        })
    }

    /// The same model with another rotary embedding than its file says.
    ///
    /// # Errors
    /// A number is out of range, or the frequencies make no sense.
    pub fn with_rope(&self, rope: &RopeOverride) -> Result<Self, Error> {
        let config = Config::read_with(self.checkpoint(), rope)?;
        Ok(Self {
            inner: Arc::new(Inner {
                config,
                ..(*self.inner).clone()
            }),
        })
    }

    /// The same model with weights that are derived from its own. `how` describes all that decides
    /// their bytes.
    pub(crate) fn with_weights(&self, checkpoint: Arc<dyn Checkpoint>, how: String) -> Self {
        let weights = Arc::new(WeightsHash::derived(self.inner.weights.clone(), how));
        Self {
            inner: Arc::new(Inner {
                checkpoint,
                weights,
                ..(*self.inner).clone()
            }),
        }
    }

    /// Keeps the hash of the weights in this folder, which is made when it is needed: a later start
    /// reads it there, while path, size, times and number of the files are the same. Saved
    /// contexts, cached prompts and cached weights belong to a model by this hash; the first of
    /// them reads all weights.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn keep_hash_in(&self, folder: &std::path::Path) {
        self.inner.weights.keep_in(folder);
    }

    /// Hashes all weights, unless their hash is known: saved contexts, cached prompts and cached
    /// weights need it, and hash the weights themselves where this was not called before.
    ///
    /// # Errors
    /// A file can't be read, or `progress` says stop.
    pub fn hash_weights(&self, progress: &mut OnProgress<'_>) -> Result<(), Error> {
        self.inner.weights.get_with(progress).map(drop)
    }

    /// The hash of all weights.
    pub(crate) fn weights_hash(&self) -> &WeightsHash {
        &self.inner.weights
    }

    /// [`Model::checkpoint`], to be kept.
    pub fn shared_checkpoint(&self) -> Arc<dyn Checkpoint> {
        self.inner.checkpoint.clone()
    }

    /// The stored model: its metadata and tensors.
    pub fn checkpoint(&self) -> &dyn Checkpoint {
        &*self.inner.checkpoint
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
        ChatTemplate::for_model(self.checkpoint().metadata(), self.tokenizer())
    }

    /// How tokens are chosen where the caller doesn't say: what the files recommend, on top of
    /// Llama 3's setting. Values that make no sense are left out; [`Model::recommended`] has them.
    pub fn sampling(&self) -> Sampling {
        self.inner.sampling.sampling()
    }

    /// The sampling settings that the files recommend, valid or not.
    pub fn recommended(&self) -> &Recommended {
        &self.inner.sampling
    }

    /// Notes in sentences: each part of the files that is ignored, contradictory or limited.
    pub fn notes(&self) -> &[String] {
        &self.inner.notes
    }

    /// The name of the model's file or repository: `model.gguf`, `OWNER/REPO`, or the folder's. Of
    /// a model that is not in files, the title in its metadata.
    pub fn name(&self) -> String {
        name(self.checkpoint())
    }
}

/// The name of a model's file or repository. The title in the metadata may be that of a training
/// run, and is used where there is no file.
pub fn name(checkpoint: &dyn Checkpoint) -> String {
    let of_files = || path_name(checkpoint.paths().first()?);
    let title = || {
        let title = checkpoint.metadata().string("general.name").ok()?;
        title.map(str::to_owned)
    };
    let source = || checkpoint.files().first().map(|name| (*name).to_owned());
    of_files()
        .or_else(title)
        .or_else(source)
        .unwrap_or_default()
}

/// The name of a GGUF file, or of the repository or folder that another file is in.
fn path_name(path: &Path) -> Option<String> {
    let text = |name: &std::ffi::OsStr| Some(name.to_string_lossy().into_owned());
    if path.extension().is_some_and(|ending| ending == "gguf") {
        return text(path.file_name()?);
    }
    let folder = path.parent()?;
    // The layout of the hub's cache: models--OWNER--REPO/snapshots/COMMIT.
    let repository = || {
        let snapshots = folder.parent()?;
        let name = snapshots.parent()?.file_name()?.to_str()?;
        let (owner, repository) = name.strip_prefix("models--")?.split_once("--")?;
        snapshots
            .ends_with("snapshots")
            .then(|| format!("{owner}/{repository}"))
    };
    // `.` and the like have no name of their own.
    repository()
        .or_else(|| text(folder.file_name()?))
        .or_else(|| text(folder.canonicalize().ok()?.file_name()?))
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model")
            .field("name", &self.name())
            .field("config", self.config())
            .finish_non_exhaustive()
    }
}
