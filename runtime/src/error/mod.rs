//! The errors between a model file and its answer.
//!
//! This is the error of all that deals with whole models. The layers below (bytes, files, the GPU,
//! the KV cache, tokenizer, sampling, chat) have errors of their own, which it takes in.

mod config;

use thiserror::Error;

use crate::chat::ChatError;
use crate::gguf::FormatError;
use crate::gpu::GpuError;
use crate::io::{ContentError, FileError, SourceError, explained};
use crate::kv_cache::{KvCacheError, SnapshotError, SpillError};
use crate::sampling::SamplingError;
use crate::tokenizer::TokenizerError;

pub use config::ConfigError;

/// Any failure of this library.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum Error {
    /// The model file can't be read.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The model's hyperparameters make no sense, or are of a kind that is not supported.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The model's vocabulary can't be used, or a text can't be encoded.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The GPU.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// A sampling parameter.
    #[error(transparent)]
    Sampling(#[from] SamplingError),
    /// A snapshot of a context.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// A file that Godwit writes.
    #[error(transparent)]
    File(#[from] FileError),
    /// KV cache on the host that the GPU has no room for.
    #[error(transparent)]
    Spill(#[from] SpillError),
    /// The chat template.
    #[error(transparent)]
    Chat(#[from] ChatError),
    /// A tensor that the model needs.
    #[error("the model has no tensor `{name}`; the file is incomplete or not a Llama model")]
    TensorMissing {
        /// The tensor.
        name: String,
    },
    /// Tensors that would change an answer, and that no code computes with.
    #[error(
        "{file}: there is no code for {}, which may change the answer; choose a model of the \
         plain Llama architecture",
        listed(names)
    )]
    TensorsUnused {
        /// The first file.
        file: String,
        /// The tensors, by the files' own names.
        names: Vec<String>,
    },
    /// A file that holds hyperparameters and a vocabulary, and no weights.
    #[error(
        "{file}: this is a vocabulary without weights, which `tokenize` takes; give the whole model"
    )]
    NoTensors {
        /// The file.
        file: String,
    },
    /// A tensor whose shape contradicts the hyperparameters.
    #[error(
        "tensor `{name}` is {found:?}, but the model's hyperparameters make it {expected:?} (row \
         length first)"
    )]
    TensorShape {
        /// The tensor.
        name: String,
        /// Its shape.
        found: Vec<u64>,
        /// The permitted shapes.
        expected: Vec<u64>,
    },
    /// A row length that kernels can't cut into groups.
    #[error("tensor `{name}` has rows of {width} weights, which is no multiple of 32")]
    TensorWidth {
        /// The tensor.
        name: String,
        /// The length of a row.
        width: u32,
    },
    /// A context larger than the model's window.
    #[error("a context of {asked} tokens is more than this model's window of {window}")]
    Window {
        /// The context asked for.
        asked: u32,
        /// The model's window.
        window: u32,
    },
    /// More tokens than the context has room for.
    #[error("{tokens} more tokens do not fit: the context holds {context}, and {used} are used")]
    ContextFull {
        /// Tokens to be added.
        tokens: usize,
        /// Tokens already there.
        used: usize,
        /// The context's size.
        context: u32,
    },
    /// A token id beyond the vocabulary.
    #[error("token {id} does not exist: the vocabulary has {vocab}")]
    NoSuchToken {
        /// The id.
        id: u32,
        /// The size of the vocabulary.
        vocab: u32,
    },
    /// Logits that no token can be chosen from.
    #[error(
        "the logits after token {position} are not finite; the model is damaged, or its values \
         overflow: download it again, or try --kv f32 and another type of weights"
    )]
    LogitsNotFinite {
        /// The position of the last token that they were computed from.
        position: usize,
    },
    /// A matrix whose inputs overflow.
    #[error(
        "the inputs of `{tensor}` are not finite, or their squares are not; the model is damaged, \
         or its values overflow: download it again"
    )]
    InputsNotFinite {
        /// The matrix.
        tensor: String,
    },
    /// The caller's writer failed.
    #[error("can't write: {0}")]
    Write(String),
    /// Nothing to continue: no token was given yet.
    #[error("the session has no tokens to continue from; give it a prompt first")]
    Empty,
    /// A draft model with another vocabulary.
    #[error(
        "the draft model has another vocabulary (token {id} differs); choose a smaller model of \
         the same family"
    )]
    DraftVocabulary {
        /// The first token that differs.
        id: u32,
    },
    /// A scheduler for frames that is to have a draft model.
    #[error(
        "a scheduler with a frame budget (frame_budget) has no draft model; leave one of them out"
    )]
    DraftInFrames,
    /// A sequence that was closed, or is another scheduler's.
    #[error("there is no such sequence; it may have been closed")]
    NoSuchSequence,
    /// A fork at a position that the sequence has not reached.
    #[error("can't fork at token {position}: the sequence has {tokens}")]
    ForkBeyond {
        /// The position asked for.
        position: usize,
        /// Tokens of the sequence.
        tokens: usize,
    },
    /// Too many requests wait.
    #[error("{waiting} requests wait already; try again later")]
    Busy {
        /// Requests that wait.
        waiting: usize,
    },
    /// A type of KV cache that sequences can't share.
    #[error("a KV cache of type {kv} can't be shared by sequences; choose q8_0 or f16")]
    SharedKvType {
        /// The type.
        kv: godwit_shaders::KvFormat,
    },
    /// Too little memory for one page of the KV cache.
    #[error("{bytes} bytes of KV cache are less than a page of 64 tokens takes ({page} bytes)")]
    KvMemory {
        /// The bytes that were permitted.
        bytes: u64,
        /// Bytes of a page.
        page: u64,
    },
    /// A sequence whose pages lie in too many segments of the KV cache.
    #[error("a sequence lies in too many parts of the KV cache; start it anew")]
    Fragmented,
    /// The caller stopped the work.
    #[error("stopped")]
    Stopped,
}

impl Error {
    /// Whether memory was refused; everything else goes on.
    pub fn is_out_of_memory(&self) -> bool {
        matches!(self, Self::Gpu(error) if error.is_out_of_memory())
    }

    /// Bytes that could not be written, and what to do about it.
    pub fn unwritten(error: &std::io::Error) -> Self {
        Self::Write(explained(error))
    }
}

impl From<SourceError> for Error {
    fn from(error: SourceError) -> Self {
        Self::Format(error.into())
    }
}

impl From<KvCacheError> for Error {
    fn from(error: KvCacheError) -> Self {
        match error {
            KvCacheError::Gpu(error) => Self::Gpu(error),
            KvCacheError::Spill(error) => Self::Spill(error),
        }
    }
}

impl ContentError for Error {
    fn write_failure(&self) -> Option<&str> {
        match self {
            Self::Write(message) => Some(message),
            _ => None,
        }
    }
}

/// The first of several tensors, and how many there are.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 4;
    let shown: Vec<String> = names
        .iter()
        .take(SHOWN)
        .map(|name| format!("`{}`", name.escape_debug()))
        .collect();
    let shown = shown.join(", ");
    match (names.len(), names.len().saturating_sub(SHOWN)) {
        (1, _) => format!("the tensor {shown}"),
        (count, 0) => format!("{count} tensors: {shown}"),
        (count, more) => format!("{count} tensors: {shown} and {more} more"),
    }
}
