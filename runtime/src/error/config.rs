//! What can be wrong with the hyperparameters of a model.

use thiserror::Error;

use crate::gguf::FormatError;

/// The models of the architecture that runs.
const LLAMAS: &str = "Llama 2, 3, 3.1 and 3.2, SmolLM2, TinyLlama and models built like them";

/// A file whose hyperparameters can't be used.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A value of the wrong type, or a tensor that can't be read.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A model of another family.
    #[error(
        "{file}: the architecture is `{found}`, which Godwit does not run. It runs `llama`: \
         {LLAMAS}; `godwit list --known` names some of them"
    )]
    Architecture {
        /// The file.
        file: String,
        /// Its value.
        found: String,
    },
    /// A key that must be there.
    #[error("{file}: the key `{key}` is missing; convert the model again")]
    Missing {
        /// The file.
        file: String,
        /// The key.
        key: String,
    },
    /// A value out of range.
    #[error("{file}: `{key}` is {value}, but must be {must}")]
    Range {
        /// The file.
        file: String,
        /// The key or the tensor.
        key: String,
        /// What the file says.
        value: String,
        /// The permitted values.
        must: String,
    },
    /// A variation of the architecture without code for it.
    #[error("{file}: `{key}` is {value}, which is not supported; supported: {known}")]
    Unsupported {
        /// The file.
        file: String,
        /// The key or the tensor.
        key: String,
        /// What the file says.
        value: String,
        /// The supported values.
        known: String,
    },
    /// Values that can't all be true.
    #[error("{file}: {detail}; the file is damaged or was converted wrongly")]
    Contradiction {
        /// The file.
        file: String,
        /// Which values, and how.
        detail: String,
    },
    /// Rotary parameters that give no usable frequencies.
    #[error("rotary embedding: {0}")]
    Rope(String),
    /// A file that is something else than a whole model.
    #[error("{file}: this is {what}; {instead}")]
    Kind {
        /// The file.
        file: String,
        /// The kind that was found.
        what: String,
        /// The file or folder to give instead.
        instead: String,
    },
}
