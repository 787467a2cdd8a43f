//! Quantised weights on disk, so that a model is quantised once.
//!
//! A file is a GGUF file of weights alone, and behind it the BLAKE3 hash of all that and [`END`].
//! It is named by the hash of the original's weights and the recipe, and its own hash is compared
//! before any of it is used.

use std::borrow::Cow;
use std::fs;
use std::io::Write as _;
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::write_tensors;
use super::{Quantized, Recipe};
use crate::checkpoint::Checkpoint;
use crate::error::{Error, FileError};
use crate::format::{Fault, FormatError, Gguf, GgufWriter, Identity, Metadata, Source, Tensor, Value};
use crate::model::{Model, Progress};
use crate::native::{Hashing, open_file, write_atomically};
use crate::tokenizer::{Tokenizer, TokenizerError};

/// What a file ends with, behind its hash. Files of earlier versions don't.
const END: &[u8; 8] = b"GODWITQ2";

impl Model {
    /// The model with its weights quantised by this recipe. They are kept in `folder`, and the next time read from there; a
    /// file there holds weights only, all else comes from the original. A file that is damaged is
    /// made again; where none can be read or written, weights are quantised while they are loaded.
    ///
    /// # Errors
    /// A weight of the original can't be read or is not finite, or `progress` says stop.
    pub async fn quantized(
        &self,
        recipe: &Recipe,
        folder: &Path,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Self, Error> {
        let original = self.shared_checkpoint();
        let view = Quantized::new(original.clone(), recipe);
        let key = self.as_quantized(recipe).weights_hash().get()?;
        let path = folder.join(format!("{}-{}.gguf", &key.to_hex()[..32], recipe.mix));
        let with = |weights| self.with_quantized(Arc::new(Weights { original: original.clone(), weights }), recipe);
        match kept(&path, &view) {
            Ok(Some(weights)) => return Ok(with(weights)),
            Ok(None) => {}
            Err(error @ FileError::Damaged { .. }) => tracing::warn!("{error}; the weights are quantised again"),
            Err(error) => {
                tracing::warn!("{error}; the file stays, and the weights are quantised while they are loaded");
                return Ok(self.as_quantized(recipe));
            }
        }
        let stored = match fs::create_dir_all(folder) {
            Ok(()) => store(&path, &view, progress).await,
            Err(error) => Err(FileError::io(folder, "make the folder", &error).into()),
        };
        let weights = match stored {
            Ok(()) => kept(&path, &view).map_err(Error::from).and_then(|kept| {
                let why = || "it is gone as soon as it is written".into();
                kept.ok_or_else(|| FileError::Damaged { file: path.display().to_string(), why: why() }.into())
            }),
            Err(error) => Err(error),
        };
        match weights {
            Ok(weights) => Ok(with(weights)),
            // No room, no right to write: what is not kept is made again at each start.
            Err(Error::File(error)) => {
                tracing::warn!("quantised weights are not kept: {error}");
                Ok(self.as_quantized(recipe))
            }
            Err(error) => Err(error),
        }
    }
}

async fn store(
    path: &Path,
    view: &Quantized,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<(), Error> {
    write_atomically(path, async |file| {
        let mut writer = GgufWriter::default();
        writer.key("general.architecture", Value::String("llama".into()));
        let mut out = Hashing::new(file);
        write_tensors(view, writer, None, &mut out, progress)?;
        let hash = out.hash();
        out.write_all(hash.as_bytes())
            .and_then(|()| out.write_all(END))
            .map_err(|error| Error::Write(error.to_string()))
    })
    .await
}

/// The weights at `path`: none where there is no file.
///
/// # Errors
/// The file can't be read, or it is proven to be damaged.
fn kept(path: &Path, view: &Quantized) -> Result<Option<Gguf>, FileError> {
    let file = match open_file(path) {
        Ok(file) => file,
        Err(error) if matches!(*error.fault, Fault::Missing) => return Ok(None),
        Err(error) => return Err(refused(path, error)),
    };
    check_hash(path, file.as_ref())?;
    let weights = Gguf::read(vec![file]).map_err(|error| refused(path, error))?;
    let same = |tensor: &Tensor| {
        weights.tensor(&tensor.name).is_some_and(|kept| kept.format == tensor.format && kept.shape == tensor.shape)
    };
    if weights.tensors().len() != view.tensors().len() || !view.tensors().iter().all(same) {
        return Err(damaged(path, "its tensors are not those of the model"));
    }
    Ok(Some(weights))
}

fn damaged(path: &Path, why: &str) -> FileError {
    FileError::Damaged { file: path.display().to_string(), why: why.into() }
}

/// What an error of reading means for the file: only a system that refuses proves nothing.
fn refused(path: &Path, error: FormatError) -> FileError {
    match *error.fault {
        Fault::Io { doing, ref message } => {
            FileError::Io { file: path.display().to_string(), doing, message: message.clone() }
        }
        Fault::Folder | Fault::NotRegular => {
            let message = "it is not a regular file".into();
            FileError::Io { file: path.display().to_string(), doing: "read the file", message }
        }
        ref cause => damaged(path, &cause.to_string()),
    }
}

/// Compares the hash at a file's end with that of all that is before, on all cores.
fn check_hash(path: &Path, file: &dyn Source) -> Result<(), FileError> {
    // Files that this module opens are mapped.
    let all = file.mapped().unwrap_or_default();
    let old = || damaged(path, "it is cut short, or of an earlier version");
    let rest = all.strip_suffix(END).ok_or_else(old)?;
    let (content, hash) = rest.split_last_chunk::<{ blake3::OUT_LEN }>().ok_or_else(old)?;
    if blake3::Hasher::new().update_rayon(content).finalize() != *hash {
        return Err(damaged(path, "its checksum is wrong"));
    }
    Ok(())
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

    fn paths(&self) -> Vec<PathBuf> {
        let own = self.weights.parts().iter().filter_map(|part| Some(part.path()?.into()));
        own.chain(self.original.paths()).collect()
    }

    fn identity(&self) -> Option<Vec<Identity>> {
        self.weights.parts().iter().map(|part| part.identity()).collect()
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
