//! Quantised weights on disk, so that a model is quantised once.

use std::borrow::Cow;
use std::fs;
use std::io;
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::Arc;

use super::file::write_tensors;
use super::{Quantized, Recipe};
use crate::checkpoint::Checkpoint;
use crate::error::Error;
use crate::format::{FormatError, Gguf, GgufWriter, Metadata, Tensor, Value};
use crate::model::{Model, Progress};
use crate::native::{open_parts, write_atomically};
use crate::tokenizer::{Tokenizer, TokenizerError};

/// Counted up where the same recipe gives other bytes than before.
const VERSION: u32 = 1;

/// Bytes at the beginning, the middle and the end of each tensor that tell one model from another.
const SAMPLE: u64 = 256;

impl Model {
    /// The model with its weights quantised by this recipe. They are kept in `folder`, and the next time read from there; a
    /// file there holds weights only, all else comes from the original.
    ///
    /// # Errors
    /// A weight can't be read or is not finite, the folder can't be written, or `progress` says stop.
    pub async fn quantized(
        &self,
        recipe: &Recipe,
        folder: &Path,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Self, Error> {
        let original = self.shared_checkpoint();
        let view = Quantized::new(original.clone(), recipe);
        let path = folder.join(format!("{}-{}.gguf", fingerprint(original.as_ref(), recipe)?, recipe.mix));
        if let Some(weights) = kept(&path, &view) {
            return Ok(self.with_checkpoint(Arc::new(Weights { original, weights })));
        }
        let io = |error: io::Error| Error::Write(format!("{}: {error}", folder.display()));
        fs::create_dir_all(folder).map_err(io)?;
        write_atomically(&path, async |file| {
            let mut writer = GgufWriter::default();
            writer.key("general.architecture", Value::String("llama".into()));
            write_tensors(&view, writer, None, file, progress)
        })
        .await?;
        let weights = Gguf::read(open_parts(&path)?)?;
        Ok(self.with_checkpoint(Arc::new(Weights { original, weights })))
    }
}

/// The weights at `path`, if they are there and whole.
fn kept(path: &Path, view: &Quantized) -> Option<Gguf> {
    if !path.is_file() {
        return None;
    }
    let weights = Gguf::read(open_parts(path).ok()?).ok()?;
    let same = |tensor: &Tensor| {
        weights.tensor(&tensor.name).is_some_and(|kept| kept.format == tensor.format && kept.shape == tensor.shape)
    };
    (weights.tensors().len() == view.tensors().len() && view.tensors().iter().all(same)).then_some(weights)
}

/// A hash of the tensors' names, types and shapes, of some bytes of each, and of the recipe.
fn fingerprint(checkpoint: &dyn Checkpoint, recipe: &Recipe) -> Result<String, FormatError> {
    let mut hash = blake3::Hasher::new();
    hash.update(format!("{VERSION} {}", recipe.key()).as_bytes());
    for tensor in checkpoint.tensors() {
        hash.update(format!("{} {} {:?}", tensor.name, tensor.format, tensor.shape).as_bytes());
        let last = tensor.bytes.saturating_sub(SAMPLE);
        for begin in [0, last / 2, last] {
            hash.update(&checkpoint.data(tensor, begin..(begin + SAMPLE).min(tensor.bytes))?);
        }
    }
    Ok(hash.finalize().to_hex().chars().take(32).collect())
}

/// A checkpoint with other weights.
struct Weights {
    original: Arc<dyn Checkpoint>,
    weights: Gguf,
}

impl Checkpoint for Weights {
    fn kind(&self) -> String {
        format!("{}, quantised", self.original.kind())
    }

    fn metadata(&self) -> &Metadata {
        self.original.metadata()
    }

    fn tensors(&self) -> &[Tensor] {
        self.weights.tensors()
    }

    fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.weights.tensor(name)
    }

    fn data(&self, tensor: &Tensor, range: Range<u64>) -> Result<Cow<'_, [u8]>, FormatError> {
        self.weights.data(tensor, range)
    }

    fn files(&self) -> Vec<&str> {
        self.weights.part_names()
    }

    fn file_bytes(&self) -> u64 {
        self.weights.file_bytes()
    }

    fn tokenizer(&self) -> Result<Tokenizer, TokenizerError> {
        self.original.tokenizer()
    }

    fn tokenizer_keys(&self) -> Result<Metadata, TokenizerError> {
        self.original.tokenizer_keys()
    }

    fn own_name(&self, tensor: &str) -> String {
        self.original.own_name(tensor)
    }

    fn check_weights(&self) -> Result<(), Error> {
        self.original.check_weights()
    }

    fn notes(&self) -> &[String] {
        self.original.notes()
    }
}
