//! The errors of a chat template.

use thiserror::Error;

use crate::gguf::FormatError;
use crate::tokenizer::TokenizerError;

/// A conversation that can't be turned into tokens.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum ChatError {
    /// There is no template, and no built-in one fits.
    #[error(
        "the model has no chat template, and its vocabulary fits neither Llama 3's nor ChatML; it \
         may be a base model: use `run --raw`"
    )]
    None,
    /// A template that no person wrote.
    #[error("the chat template is {bytes} bytes long; at most {most} are supported")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The longest allowed.
        most: usize,
    },
    /// Not valid Jinja.
    #[error("the chat template does not compile: {0}")]
    Invalid(String),
    /// It failed, or refused the messages.
    #[error("the chat template failed: {0}")]
    Failed(String),
    /// It does not end.
    #[error("the chat template took too many steps and was stopped")]
    Fuel,
    /// It writes without end.
    #[error("the chat template wrote more than {most} bytes and was stopped")]
    Output {
        /// The most allowed.
        most: usize,
    },
    /// The file's metadata.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The vocabulary has no tokens for the text.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
}
