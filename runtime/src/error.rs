//! What can go wrong between a model file and its answer.

use thiserror::Error;

use crate::chat::ChatError;
use crate::format::FormatError;
use crate::gpu::GpuError;
use crate::model::ConfigError;
use crate::sampling::SamplingError;
use crate::saved::SavedError;
use crate::tokenizer::TokenizerError;

/// Any failure of this library.
#[derive(Clone, Debug, PartialEq, Error)]
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
    /// A saved context.
    #[error(transparent)]
    Saved(#[from] SavedError),
    /// The chat template.
    #[error(transparent)]
    Chat(#[from] ChatError),
    /// A tensor that the model needs.
    #[error("the model has no tensor `{name}`; the file is incomplete or not a Llama model")]
    TensorMissing {
        /// The tensor.
        name: String,
    },
    /// A tensor whose shape contradicts the hyperparameters.
    #[error("tensor `{name}` is {found:?}, but the model's hyperparameters make it {expected:?} (row length first)")]
    TensorShape {
        /// The tensor.
        name: String,
        /// Its shape.
        found: Vec<u64>,
        /// What the shape must be.
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
    /// A file that can't be written.
    #[error("can't write: {0}")]
    Write(String),
    /// Nothing to continue: no token was given yet.
    #[error("the session has no tokens to continue from; give it a prompt first")]
    Empty,
    /// The caller stopped the work.
    #[error("stopped")]
    Stopped,
}
