//! Models as they are stored, in any format.
//!
//! A [`Checkpoint`] speaks GGUF's language: hyperparameters under GGUF's keys, tensors by GGUF's
//! names and in GGUF's row order. GGUF files are one; a Hugging Face repository is read as one.
//! The rest of the crate does not depend on the format.

mod config_json;
mod config_keys;
mod json_file;
#[cfg(not(target_arch = "wasm32"))]
mod kinds;
mod neutral;
#[cfg(not(target_arch = "wasm32"))]
mod open;
mod packed;
mod repository;
mod safetensors;

use std::borrow::Cow;
use std::ops::Range;
use std::path::PathBuf;

use crate::error::Error;
use crate::gguf::{ForeignTensor, FormatCause, FormatError, Gguf, Metadata, Tensor};
use crate::io::Identity;
use crate::tokenizer::{Tokenizer, TokenizerError};

pub(crate) use neutral::{Neutral, neutral_by_name};
#[cfg(not(target_arch = "wasm32"))]
pub use open::{
    open_checkpoint, open_checkpoint_to_inspect, open_checkpoint_with, open_parts, open_parts_with,
};
pub use repository::Repository;

/// A stored model: its metadata and its weights.
pub trait Checkpoint: Send + Sync {
    /// The kind of files, in words.
    fn kind(&self) -> String;

    /// Hyperparameters and descriptions, under GGUF's keys.
    fn metadata(&self) -> &Metadata;

    /// All tensors, by GGUF's names.
    fn tensors(&self) -> &[Tensor];

    /// The tensor of this name.
    fn tensor(&self, name: &str) -> Option<&Tensor>;

    /// Bytes of a tensor in its format, rows in GGUF's order: borrowed where that is possible.
    ///
    /// # Errors
    /// When the range goes beyond the tensor's end or the file can't be read.
    fn data(&self, tensor: &Tensor, range: Range<u64>) -> Result<Cow<'_, [u8]>, FormatError>;

    /// Where a row of a tensor is in the files, for people. Of a vector, `row` is the index of a
    /// weight.
    fn place(&self, tensor: &Tensor, row: u64) -> Place {
        let file = self
            .files()
            .get(tensor.part)
            .copied()
            .unwrap_or_default()
            .to_owned();
        Place {
            file,
            tensor: self.own_name(&tensor.name),
            row,
        }
    }

    /// The names of the files.
    fn files(&self) -> Vec<&str>;

    /// The size of all files together.
    fn file_bytes(&self) -> u64;

    /// Where all files are that the model is read from, those of its configuration and of its
    /// tokenizer too.
    fn paths(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// What tells the tensors from all others without reading them, where something does: of each
    /// file.
    fn identity(&self) -> Option<Vec<Identity>> {
        None
    }

    /// The tokenizer.
    ///
    /// # Errors
    /// There is none, or it is not one that Godwit knows.
    fn tokenizer(&self) -> Result<Tokenizer, TokenizerError>;

    /// The `tokenizer.ggml.*` keys that the metadata lacks, for a GGUF file.
    ///
    /// # Errors
    /// GGUF has no words for the tokenizer.
    fn tokenizer_keys(&self) -> Result<Metadata, TokenizerError> {
        Ok(Metadata::default())
    }

    /// The name of this tensor in the files.
    fn own_name(&self, tensor: &str) -> String {
        tensor.into()
    }

    /// Tensors that GGUF has no name for, by the files' names. [`Checkpoint::tensors`] lacks them.
    fn unnamed_tensors(&self) -> &[String] {
        &[]
    }

    /// Tensors of types that Godwit has no code for. [`Checkpoint::tensors`] lacks them.
    fn foreign_tensors(&self) -> &[ForeignTensor] {
        &[]
    }

    /// Features that the files ask for and no code computes, besides those in the metadata.
    fn obstacles(&self) -> &[Error] {
        &[]
    }

    /// Hyperparameters that are not known and that [`Checkpoint::metadata`] lacks, as the files
    /// name them.
    fn unknown_keys(&self) -> &[UnknownKey] {
        &[]
    }

    /// Runs the checks that read many weights. Callers run it before they use the weights.
    ///
    /// # Errors
    /// The weights contradict what the files say of them, or can't be read.
    fn check_weights(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Contradictions in the files, and how each was resolved.
    fn notes(&self) -> &[String] {
        &[]
    }
}

/// A row of a tensor as the files have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: String,
    /// The tensor's name there.
    pub tensor: String,
    /// The row there; of a vector, the index of a weight.
    pub row: u64,
}

/// A hyperparameter that is not known, and ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownKey {
    /// The file.
    pub file: String,
    /// The key there, with those of the objects that it is in.
    pub key: String,
}

/// Checks that weights are finite: whole rows of a tensor, from `first` on.
///
/// # Errors
/// Names the file, the tensor as it is called there, and the weight.
pub(crate) fn check_finite(
    checkpoint: &dyn Checkpoint,
    tensor: &Tensor,
    first: u64,
    stored: &[u8],
) -> Result<(), FormatError> {
    if tensor.format.is_finite(stored) {
        return Ok(());
    }
    let Some((at, value)) = tensor.format.first_not_finite(stored) else {
        return Ok(());
    };
    let at = at as u64;
    let (row, index, Place { file, tensor, .. }) = match tensor.shape[..] {
        [_] => {
            let place = checkpoint.place(tensor, at);
            (0, place.row, place)
        }
        _ => {
            let width = tensor.shape.first().copied().unwrap_or(1).max(1);
            let place = checkpoint.place(tensor, first + at / width);
            (place.row, at % width, place)
        }
    };
    Err(FormatError::tensor(
        file,
        tensor,
        FormatCause::NotFinite { row, index, value },
    ))
}

impl Checkpoint for Gguf {
    fn kind(&self) -> String {
        format!("GGUF v{}", self.version())
    }

    fn metadata(&self) -> &Metadata {
        self.metadata()
    }

    fn tensors(&self) -> &[Tensor] {
        self.tensors()
    }

    fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.tensor(name)
    }

    fn data(&self, tensor: &Tensor, range: Range<u64>) -> Result<Cow<'_, [u8]>, FormatError> {
        self.data(tensor, range)
    }

    fn foreign_tensors(&self) -> &[ForeignTensor] {
        self.foreign_tensors()
    }

    fn files(&self) -> Vec<&str> {
        self.part_names()
    }

    fn file_bytes(&self) -> u64 {
        self.file_bytes()
    }

    fn paths(&self) -> Vec<PathBuf> {
        self.parts()
            .iter()
            .filter_map(|part| Some(part.path()?.into()))
            .collect()
    }

    fn identity(&self) -> Option<Vec<Identity>> {
        self.parts().iter().map(|part| part.identity()).collect()
    }

    fn tokenizer(&self) -> Result<Tokenizer, TokenizerError> {
        Tokenizer::from_gguf(self.metadata())
    }
}
