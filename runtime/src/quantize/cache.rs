//! Quantised weights on disk, so that a model is quantised once.
//!
//! A file is a GGUF file of weights alone, and behind it the BLAKE3 hash of all that and [`END`].
//! It is named by the hash of the original's weights and the recipe, and its own hash is compared
//! before any of it is used.

use std::borrow::Cow;
use std::io::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::write_tensors;
use super::{Quantized, Recipe};
use crate::checkpoint::Checkpoint;
use crate::error::Error;
use crate::gguf::{FormatCause, FormatError, Gguf, GgufWriter, Metadata, Tensor, Value};
use crate::io::durable::write_atomically;
use crate::io::evict::{make_room, touch};
use crate::io::open::open_private;
use crate::io::private::{check_folder, make_private_folder};
use crate::io::warn::{warn_of, warn_once};
use crate::io::{Access, FileError, Hashing, Identity, Source, SourceCause, source};
use crate::model::Model;
use crate::progress::OnProgress;
use crate::tokenizer::{Tokenizer, TokenizerError};

/// The end of a file, after its hash. Files of earlier versions lack it.
const END: &[u8; 8] = b"GODWITQ2";

/// A folder of quantised weights, and the most bytes that they may take: those that were not used
/// for the longest time make room for others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightsCache {
    folder: PathBuf,
    most_bytes: u64,
    access: Access,
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
            access: Access::default(),
        }
    }

    /// The cache, with a choice of how its files are read.
    #[must_use]
    pub fn with_access(self, access: Access) -> Self {
        Self { access, ..self }
    }

    /// Deletes what does not fit any more, those first that were not used for the longest time: the
    /// cache may have become smaller. An open file stays readable (Windows keeps it).
    fn trim(&self) {
        if let Err(error) = make_room(&self.folder, is_weights, 0, self.most_bytes) {
            let folder = self.folder.display();
            warn_once(
                &folder,
                &format!(
                    "{folder}: can't delete what is beyond --quant-cache-size: {error}; delete \
                     files there"
                ),
            );
        }
    }
}

impl From<&Path> for WeightsCache {
    fn from(folder: &Path) -> Self {
        Self::new(folder, Self::DEFAULT_BYTES)
    }
}

/// Bytes that are hashed at a time where a file is not mapped.
const CHUNK: usize = 8 << 20;

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
        progress: &mut OnProgress<'_>,
    ) -> Result<Self, Error> {
        let cache = cache.into();
        let WeightsCache {
            folder,
            most_bytes,
            access,
        } = &cache;
        let (most_bytes, access) = (*most_bytes, *access);
        let original = self.shared_checkpoint();
        let view = Quantized::new(original.clone(), recipe);
        if let Err(error) = check_folder(folder) {
            let then = "the weights are quantised at each start; --quant-dir names another folder \
                for them";
            warn_of(&error, then);
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
        match kept(&path, &view, access) {
            Ok(Some(weights)) => {
                cache.trim();
                return Ok(with(weights));
            }
            Ok(None) => {}
            Err(error @ FileError::Damaged { .. }) => {
                warn_of(&error, "the weights are quantised again")
            }
            Err(error) => {
                let then = "the file stays, and the weights are quantised at each start: delete \
                    the file, or \
                            name another folder with --quant-dir";
                warn_of(&error, then);
                return Ok(self.as_quantized(recipe));
            }
        }
        let bytes = view.tensors().iter().map(|tensor| tensor.bytes).sum();
        if bytes > most_bytes {
            tracing::warn!(
                "quantised weights are not kept: they take {bytes} bytes, and the cache {} may \
                 take {most_bytes}; \
                 --quant-cache-size allows more",
                folder.display()
            );
            cache.trim();
            return Ok(self.as_quantized(recipe));
        }
        let room = make_private_folder(folder).and_then(|()| {
            make_room(
                folder,
                |other| is_weights(other) && other != path,
                bytes,
                most_bytes,
            )
            .map_err(|error| FileError::io(folder, "make room in the folder", &error))
        });
        let stored = match room {
            Ok(()) => store(&path, &view, progress).await,
            Err(error) => Err(error.into()),
        };
        match stored.and_then(|()| Ok(kept(&path, &view, access)?)) {
            Ok(Some(weights)) => Ok(with(weights)),
            // Another process made room for its own.
            Ok(None) => Ok(self.as_quantized(recipe)),
            // No room, no right to write: what is not kept is made again at each start.
            Err(Error::File(error)) => {
                let then = "quantised weights are not kept, and are made again at each start; \
                    --quant-dir names \
                            another folder for them";
                warn_of(&error, then);
                Ok(self.as_quantized(recipe))
            }
            Err(error) => Err(error),
        }
    }
}

async fn store(path: &Path, view: &Quantized, progress: &mut OnProgress<'_>) -> Result<(), Error> {
    write_atomically(path, async |file| {
        let mut writer = GgufWriter::default();
        writer.key("general.architecture", Value::String("llama".into()));
        let mut out = Hashing::new(file);
        write_tensors(view, writer, None, &mut out, progress)?;
        let hash = out.hash();
        out.write_all(hash.as_bytes())
            .and_then(|()| out.write_all(END))
            .map_err(|error| Error::unwritten(&error))
    })
    .await
}

/// The weights at `path`: none where there is no file.
///
/// # Errors
/// The file can't be read, belongs to another user, or it is proven to be damaged.
fn kept(path: &Path, view: &Quantized, access: Access) -> Result<Option<Gguf>, FileError> {
    let Some((file, metadata)) = open_private(path)? else {
        return Ok(None);
    };
    touch(&file, path);
    // Other processes that use it set its time too.
    let file = source(path, path.into(), file, &metadata, None, access)
        .map_err(|error| refused(path, error.into()))?;
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

/// Whether a read error proves that the file is bad: an error of the system proves nothing.
fn refused(path: &Path, error: FormatError) -> FileError {
    match *error.cause {
        FormatCause::Source(SourceCause::Io { doing, ref message }) => FileError::Io {
            file: path.display().to_string(),
            doing,
            message: message.clone(),
        },
        FormatCause::Folder | FormatCause::Source(SourceCause::NotRegular) => {
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
    let old = || damaged(path, "it is cut short, or of an earlier version");
    let mut seal = [0; blake3::OUT_LEN + END.len()];
    let content = file.len().checked_sub(seal.len() as u64).ok_or_else(old)?;
    file.read(content, &mut seal)
        .map_err(|error| refused(path, error.into()))?;
    let hash = seal.strip_suffix(END).ok_or_else(old)?;
    let mut hasher = blake3::Hasher::new();
    match file.mapped() {
        Some(mapped) => drop(hasher.update_rayon(&mapped[..content as usize])),
        None => {
            let mut at = 0;
            let mut piece = vec![0; CHUNK.min(content as usize)];
            while at < content {
                let len = (content - at).min(piece.len() as u64);
                let piece = &mut piece[..len as usize];
                file.read(at, piece)
                    .map_err(|error| refused(path, error.into()))?;
                hasher.update_rayon(piece);
                at += len;
            }
        }
    }
    if hasher.finalize().as_bytes() != hash {
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
