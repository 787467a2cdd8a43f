//! What can go wrong between a model file and its answer.

use thiserror::Error;

use crate::chat::ChatError;
use crate::format::FormatError;
use crate::gpu::GpuError;
use crate::model::ConfigError;
use crate::sampling::SamplingError;
use crate::saved::SavedError;
use crate::spill::SpillError;
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
    /// A file that Godwit writes.
    #[error(transparent)]
    File(#[from] FileError),
    /// What the GPU has no room for, on the host.
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
    /// What the caller gave to write to fails.
    #[error("can't write: {0}")]
    Write(String),
    /// Nothing to continue: no token was given yet.
    #[error("the session has no tokens to continue from; give it a prompt first")]
    Empty,
    /// The caller stopped the work.
    #[error("stopped")]
    Stopped,
}

/// A file that Godwit writes and reads again: it can't be, or what is in it is proven to be wrong.
/// The two are apart because only what is proven to be wrong may be deleted.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum FileError {
    /// The file may be good: the system refuses.
    #[error("{file}: can't {doing}: {message}")]
    Io {
        /// The file or folder.
        file: String,
        /// What was tried.
        doing: &'static str,
        /// What the system says.
        message: String,
    },
    /// It belongs to another user.
    #[error(
        "{file} belongs to user {owner}, and is not used by user {user}: its owner could change \
         what is read and see what \
         is written there; name a folder of your own (--cache-dir, --quant-dir, HF_HUB_CACHE or \
         XDG_CACHE_HOME), or take it \
         over with chown"
    )]
    Foreign {
        /// The file or folder.
        file: String,
        /// Its owner's number.
        owner: u32,
        /// The number of the user that this process runs as.
        user: u32,
    },
    /// The file is not what was written.
    #[error("{file} can't be used: {why}")]
    Damaged {
        /// The file.
        file: String,
        /// The cause.
        why: String,
    },
}

#[cfg(not(target_arch = "wasm32"))]
impl FileError {
    pub(crate) fn io(file: &std::path::Path, doing: &'static str, error: &std::io::Error) -> Self {
        Self::Io {
            file: file.display().to_string(),
            doing,
            message: error.to_string(),
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
