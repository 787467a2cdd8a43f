//! Quantised weights on disk, so that a model is quantised once.
//!
//! A file is a GGUF file of weights alone, and behind it the BLAKE3 hash of all that and [`END`].
//! It is named by the hash of the original's weights and the recipe, and its own hash is compared
//! before any of it is used.

use std::borrow::Cow;
use std::io::Write as _;
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::write_tensors;
use super::{Quantized, Recipe};
use crate::checkpoint::Checkpoint;
use crate::error::{Error, FileError};
use crate::format::{
    Fault, FormatError, Gguf, GgufWriter, Identity, Metadata, Source, Tensor, Value,
};
use crate::io::durable::write_atomically;
use crate::io::evict::{make_room, touch};
use crate::io::open::open_private;
use crate::io::private::{check_folder, make_private_folder};
use crate::model::{Model, Progress};
use crate::native::{Access, Hashing, source};
use crate::tokenizer::{Tokenizer, TokenizerError};

/// What a file ends with, behind its hash. Files of earlier versions don't.
const END: &[u8; 8] = b"GODWITQ2";

/// A folder of quantised weights, and the most bytes that they may take: those that were not used
/// for the longest time make room for others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightsCache {
    folder: PathBuf,
    most_bytes: u64,
}

impl WeightsCache {
    /// The size of a cache for which no other was chosen: some models of 70B in 4 bits do not fit
    /// beside each other, all smaller ones do.
    pub const DEFAULT_BYTES: u64 = 64 << 30;

    /// A cache in this folder, which is made when the first weights are written. Weights larger
    /// than `most_bytes` are not kept.
    pub fn new(folder: impl Into<PathBuf>, most_bytes: u64) -> Self {
        Self {
            folder: folder.into(),
            most_bytes,
        }
    }
}

impl From<&Path> for WeightsCache {
    fn from(folder: &Path) -> Self {
        Self::new(folder, Self::DEFAULT_BYTES)
    }
}

/// Digits of the hash in a file's name.
const DIGITS: usize = 32;

/// Whether a file has the name of cached weights: digits of a hash, and the mix.
fn is_weights(path: &Path) -> bool {
    let stem = path
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or_default();
    let hash = stem.split_once('-').map_or("", |(hash, _)| hash);
    let named = hash.len() == DIGITS && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    named
        && path
            .extension()
            .is_some_and(|extension| extension == "gguf")
}

impl Model {
    /// The model with its weights quantised by this recipe. They are kept in `cache`, and the next
    /// time read from there; a file there holds weights only, all else comes from the original. A
    /// file that is damaged is made again; where none can be read or written, weights are quantised
    /// while they are loaded.
    ///
    /// `progress` hears how many bytes of the original are hashed, unless their hash is known, and
    /// then how many are quantised, unless they are kept.
    ///
    /// # Errors
    /// A weight of the original can't be read or is not finite, or `progress` says stop.
    pub async fn quantized(
        &self,
        recipe: &Recipe,
        cache: impl Into<WeightsCache>,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Self, Error> {
        let WeightsCache { folder, most_bytes } = cache.into();
        let original = self.shared_checkpoint();
        let view = Quantized::new(original.clone(), recipe);
        if let Err(error) = check_folder(&folder) {
            tracing::warn!("{error}; the weights are quantised while they are loaded");
            return Ok(self.as_quantized(recipe));
        }
        let key = self
            .as_quantized(recipe)
            .weights_hash()
            .get_with(progress)?;
        let path = folder.join(format!("{}-{}.gguf", &key.to_hex()[..DIGITS], recipe.mix));
        let with = |weights| {
            self.with_quantized(
                Arc::new(Weights {
                    original: original.clone(),
                    weights,
                }),
                recipe,
            )
        };
        match kept(&path, &view) {
            Ok(Some(weights)) => return Ok(with(weights)),
            Ok(None) => {}
            Err(error @ FileError::Damaged { .. }) => {
                tracing::warn!("{error}; the weights are quantised again")
            }
            Err(error) => {
                tracing::warn!(
                    "{error}; the file stays, and the weights are quantised while they are loaded"
                );
                return Ok(self.as_quantized(recipe));
            }
        }
        let bytes = view.tensors().iter().map(|tensor| tensor.bytes).sum();
        if bytes > most_bytes {
            tracing::warn!(
                "quantised weights are not kept: they take {bytes} bytes, and the cache {} may \
                 take {most_bytes}",
                folder.display()
            );
            return Ok(self.as_quantized(recipe));
        }
        let room = make_private_folder(&folder).and_then(|()| {
            make_room(
                &folder,
                |other| is_weights(other) && other != path,
                bytes,
                most_bytes,
            )
            .map_err(|error| FileError::io(&folder, "make room in the folder", &error))
        });
        let stored = match room {
            Ok(()) => store(&path, &view, progress).await,
            Err(error) => Err(error.into()),
        };
        match stored.and_then(|()| Ok(kept(&path, &view)?)) {
            Ok(Some(weights)) => Ok(with(weights)),
            // Another process made room for its own.
            Ok(None) => Ok(self.as_quantized(recipe)),
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
/// The file can't be read, belongs to another user, or it is proven to be damaged.
fn kept(path: &Path, view: &Quantized) -> Result<Option<Gguf>, FileError> {
    let Some((file, metadata)) = open_private(path)? else {
        return Ok(None);
    };
    touch(&file);
    // Other processes that use it set its time too.
    let file = source(path, path.into(), file, &metadata, None, Access::Mapped)
        .map_err(|error| refused(path, error))?;
    weights_in(path, file, view.tensors()).map(Some)
}

/// The weights in a file, which are to have these tensors.
///
/// # Errors
/// The file is proven to be damaged, or can't be read.
pub(crate) fn weights_in(
    path: &Path,
    file: Box<dyn Source>,
    tensors: &[Tensor],
) -> Result<Gguf, FileError> {
    check_hash(path, file.as_ref())?;
    let weights = Gguf::read(vec![file]).map_err(|error| refused(path, error))?;
    let same = |tensor: &Tensor| {
        weights
            .tensor(&tensor.name)
            .is_some_and(|kept| kept.format == tensor.format && kept.shape == tensor.shape)
    };
    if weights.tensors().len() != tensors.len() || !tensors.iter().all(same) {
        return Err(damaged(path, "its tensors are not those of the model"));
    }
    Ok(weights)
}

/// The end of a file with this content.
pub(crate) fn seal(content: &[u8]) -> Vec<u8> {
    [blake3::hash(content).as_bytes(), &END[..]].concat()
}

fn damaged(path: &Path, why: &str) -> FileError {
    FileError::Damaged {
        file: path.display().to_string(),
        why: why.into(),
    }
}

/// What an error of reading means for the file: only a system that refuses proves nothing.
fn refused(path: &Path, error: FormatError) -> FileError {
    match *error.fault {
        Fault::Io { doing, ref message } => FileError::Io {
            file: path.display().to_string(),
            doing,
            message: message.clone(),
        },
        Fault::Folder | Fault::NotRegular => {
            let message = "it is not a regular file".into();
            FileError::Io {
                file: path.display().to_string(),
                doing: "read the file",
                message,
            }
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
    let (content, hash) = rest
        .split_last_chunk::<{ blake3::OUT_LEN }>()
        .ok_or_else(old)?;
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
        let own = self
            .weights
            .parts()
            .iter()
            .filter_map(|part| Some(part.path()?.into()));
        own.chain(self.original.paths()).collect()
    }

    fn identity(&self) -> Option<Vec<Identity>> {
        self.weights
            .parts()
            .iter()
            .map(|part| part.identity())
            .collect()
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
