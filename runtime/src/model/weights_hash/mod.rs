//! A hash of all weights, which tells one model from another.
//!
//! It is the BLAKE3 hash of a table of all tensors: name, format, shape, and the BLAKE3 hash of the
//! tensor's bytes. So tensors are hashed in parallel, or one after the other while they are loaded,
//! and the metadata of a file may change.

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};

use blake3::{Hash, Hasher};

use super::Progress;
use crate::checkpoint::Checkpoint;
use crate::error::Error;
use crate::gguf::Tensor;
use crate::io::Identity;

/// Bytes that are hashed at a time where tensors have to be read.
const CHUNK: u64 = 8 << 20;

/// The hash of a model's weights: computed when it is first asked for, or while the weights are
/// loaded.
pub(crate) struct WeightsHash {
    known: OnceLock<Hash>,
    origin: Origin,
    /// The folder that keeps hashes for later starts.
    #[cfg(not(target_arch = "wasm32"))]
    folder: OnceLock<std::path::PathBuf>,
}

enum Origin {
    /// The tensors of this checkpoint.
    Stored(Arc<dyn Checkpoint>),
    /// The tensors of another model, changed in a way that a text describes: bytes that no file has
    /// are not hashed.
    Derived(Arc<WeightsHash>, String),
}

impl WeightsHash {
    fn new(origin: Origin) -> Self {
        Self {
            known: OnceLock::new(),
            origin,
            #[cfg(not(target_arch = "wasm32"))]
            folder: OnceLock::new(),
        }
    }

    /// The hash of a checkpoint's tensors, not computed yet.
    pub fn stored(checkpoint: Arc<dyn Checkpoint>) -> Self {
        Self::new(Origin::Stored(checkpoint))
    }

    /// The hash of tensors that are computed from others; `how` describes all that decides what
    /// comes out.
    pub fn derived(original: Arc<Self>, how: String) -> Self {
        Self::new(Origin::Derived(original, how))
    }

    /// Keeps the hash in this folder, where a later start finds it if the files are the same. The
    /// first call counts.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn keep_in(&self, folder: &std::path::Path) {
        match &self.origin {
            Origin::Stored(_) => drop(self.folder.set(folder.into())),
            Origin::Derived(original, _) => original.keep_in(folder),
        }
    }

    /// The hash.
    ///
    /// # Errors
    /// A file can't be read.
    pub fn get(&self) -> Result<Hash, Error> {
        self.get_with(&mut |_| ControlFlow::Continue(()))
    }

    /// The hash; `progress` hears how many bytes are hashed, where they have to be.
    ///
    /// # Errors
    /// A file can't be read, or `progress` says stop.
    pub fn get_with(
        &self,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Hash, Error> {
        if let Some(hash) = self.look_up() {
            return Ok(hash);
        }
        match &self.origin {
            Origin::Stored(checkpoint) => {
                let before = checkpoint.identity();
                let tensors = hash_tensors(checkpoint.as_ref(), progress)?;
                let hash = self.set(table_hash(checkpoint.as_ref(), &tensors));
                self.store(hash, before);
                Ok(hash)
            }
            Origin::Derived(original, how) => {
                Ok(self.set(derive(original.get_with(progress)?, how)))
            }
        }
    }

    /// The hash, where no weight has to be read for it.
    pub fn look_up(&self) -> Option<Hash> {
        if let Some(hash) = self.known.get() {
            return Some(*hash);
        }
        let found = match &self.origin {
            Origin::Stored(checkpoint) => self.kept(checkpoint.as_ref())?,
            Origin::Derived(original, how) => derive(original.look_up()?, how),
        };
        Some(self.set(found))
    }

    /// Hashers for weights that are about to be loaded; none where the hash is known, or is not of
    /// the bytes that are loaded.
    pub fn while_loading(&self) -> Option<TensorHashes> {
        match &self.origin {
            Origin::Stored(checkpoint) if self.look_up().is_none() => Some(TensorHashes {
                before: checkpoint.identity(),
                tensors: HashMap::new(),
            }),
            _ => None,
        }
    }

    /// Takes over the hashes of weights that were loaded. Tensors that were not, or not from
    /// beginning to end, are read.
    ///
    /// # Errors
    /// A file can't be read.
    pub fn loaded(&self, mut hashes: TensorHashes) -> Result<(), Error> {
        let Origin::Stored(checkpoint) = &self.origin else {
            return Ok(());
        };
        let mut tensors = Vec::new();
        for tensor in checkpoint.tensors() {
            tensors.push(match hashes.tensors.remove(&tensor.name) {
                Some((hasher, end)) if end == tensor.bytes => hasher.finalize(),
                _ => hash_tensor(checkpoint.as_ref(), tensor, &mut |_| Ok(()))?,
            });
        }
        let hash = self.set(table_hash(checkpoint.as_ref(), &tensors));
        self.store(hash, hashes.before);
        Ok(())
    }

    fn set(&self, hash: Hash) -> Hash {
        *self.known.get_or_init(|| hash)
    }
}

/// Hashes of tensors that are read piece by piece, each from its beginning to its end.
pub(crate) struct TensorHashes {
    before: Option<Vec<Identity>>,
    tensors: HashMap<String, (Hasher, u64)>,
}

impl TensorHashes {
    /// Adds bytes of a tensor from `start` on. Bytes that do not follow those before are left out,
    /// and so the tensor is hashed later.
    pub fn add(&mut self, tensor: &Tensor, start: u64, bytes: &[u8]) {
        if !self.tensors.contains_key(&tensor.name) {
            self.tensors.insert(tensor.name.clone(), (Hasher::new(), 0));
        }
        if let Some((hasher, end)) = self.tensors.get_mut(&tensor.name)
            && *end == start
        {
            hasher.update(bytes);
            *end += bytes.len() as u64;
        }
    }
}

fn derive(original: Hash, how: &str) -> Hash {
    let mut hash = Hasher::new();
    hash.update(original.as_bytes()).update(how.as_bytes());
    hash.finalize()
}

/// The hash of the table of tensors, given the hash of each.
fn table_hash(checkpoint: &dyn Checkpoint, tensors: &[Hash]) -> Hash {
    let mut hash = Hasher::new();
    for (tensor, own) in checkpoint.tensors().iter().zip(tensors) {
        let name = tensor.name.as_bytes();
        hash.update(&(name.len() as u64).to_le_bytes()).update(name);
        hash.update(format!("{} {:?} ", tensor.format, tensor.shape).as_bytes());
        hash.update(own.as_bytes());
    }
    hash.finalize()
}

/// How often `progress` hears how far hashing is, where other threads do it.
#[cfg(not(target_arch = "wasm32"))]
const TICK: std::time::Duration = std::time::Duration::from_millis(50);

fn all_bytes(checkpoint: &dyn Checkpoint) -> u64 {
    checkpoint.tensors().iter().map(|tensor| tensor.bytes).sum()
}

/// Hashes all tensors, on all cores. This thread waits, and calls `progress`.
#[cfg(not(target_arch = "wasm32"))]
fn hash_tensors(
    checkpoint: &dyn Checkpoint,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Vec<Hash>, Error> {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::sync::mpsc::{RecvTimeoutError, channel};

    use rayon::prelude::*;
    let (done, is_stopped) = (AtomicU64::new(0), AtomicBool::new(false));
    let total = all_bytes(checkpoint);
    if progress(Progress { done: 0, total }).is_break() {
        return Err(Error::Stopped);
    }
    std::thread::scope(|scope| {
        let (finished, result) = channel();
        let hash_all = || {
            let each = |bytes| {
                done.fetch_add(bytes, Ordering::Relaxed);
                if is_stopped.load(Ordering::Relaxed) {
                    Err(Error::Stopped)
                } else {
                    Ok(())
                }
            };
            checkpoint
                .tensors()
                .par_iter()
                .map(|tensor| hash_tensor(checkpoint, tensor, &mut { each }))
                .collect()
        };
        let worker = scope.spawn(move || finished.send(hash_all()));
        loop {
            match result.recv_timeout(TICK) {
                Ok(hashes) => return hashes,
                Err(RecvTimeoutError::Timeout) => {
                    if progress(Progress {
                        done: done.load(Ordering::Relaxed),
                        total,
                    })
                    .is_break()
                    {
                        is_stopped.store(true, Ordering::Relaxed);
                    }
                }
                // Nothing comes from a thread that panicked.
                Err(RecvTimeoutError::Disconnected) => match worker.join() {
                    Err(panic) => std::panic::resume_unwind(panic),
                    Ok(_) => return Err(Error::Stopped),
                },
            }
        }
    })
}

#[cfg(target_arch = "wasm32")]
fn hash_tensors(
    checkpoint: &dyn Checkpoint,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Vec<Hash>, Error> {
    let (mut done, total) = (0, all_bytes(checkpoint));
    let mut each = |bytes| {
        done += bytes;
        if progress(Progress { done, total }).is_break() {
            Err(Error::Stopped)
        } else {
            Ok(())
        }
    };
    checkpoint
        .tensors()
        .iter()
        .map(|tensor| hash_tensor(checkpoint, tensor, &mut each))
        .collect()
}

/// Hashes one tensor; `each` hears of the bytes as they are hashed, and may end it.
fn hash_tensor(
    checkpoint: &dyn Checkpoint,
    tensor: &Tensor,
    each: &mut dyn FnMut(u64) -> Result<(), Error>,
) -> Result<Hash, Error> {
    // Whole rows: what is made of other bytes is made row by row.
    let width = tensor.shape.first().copied().unwrap_or(1);
    let row = tensor.format.bytes(width).unwrap_or(tensor.bytes).max(1);
    let step = (CHUNK / row).max(1) * row;
    let mut hash = Hasher::new();
    let mut at = 0;
    while at < tensor.bytes {
        let end = (at + step).min(tensor.bytes);
        let bytes = checkpoint.data(tensor, at..end)?;
        update(&mut hash, &bytes);
        each(end - at)?;
        at = end;
    }
    Ok(hash.finalize())
}

/// Hashes on all cores: one tensor may be much larger than the others.
#[cfg(not(target_arch = "wasm32"))]
fn update(hash: &mut Hasher, bytes: &[u8]) {
    hash.update_rayon(bytes);
}

#[cfg(target_arch = "wasm32")]
fn update(hash: &mut Hasher, bytes: &[u8]) {
    hash.update(bytes);
}

#[cfg(not(target_arch = "wasm32"))]
mod kept {
    use std::path::PathBuf;

    use serde::{Deserialize, Serialize};

    use super::{Checkpoint, Hash, Hasher, Origin, WeightsHash};
    use crate::io::warn::warn_of;
    use crate::io::{FileError, Identity, read_checked, write_checked};

    /// Counted up where the same weights get another hash than before.
    const VERSION: u32 = 1;

    /// The file of a model's hash: whose it is, as the files were then.
    #[derive(Serialize, Deserialize)]
    struct Kept {
        version: u32,
        files: Vec<Identity>,
        weights: String,
    }

    impl WeightsHash {
        /// The file for these files' hash, whatever state they are in: a model that changes
        /// replaces its own.
        fn file(&self, files: &[Identity]) -> Option<PathBuf> {
            let mut hash = Hasher::new();
            for file in files {
                hash.update(file.name.as_bytes()).update(b"\0");
            }
            Some(
                self.folder
                    .get()?
                    .join(format!("{}.json", &hash.finalize().to_hex()[..32])),
            )
        }

        /// The hash from an earlier start, if the files are those of then.
        pub(super) fn kept(&self, checkpoint: &dyn Checkpoint) -> Option<Hash> {
            let files = checkpoint.identity()?;
            match read_checked::<Kept>(&self.file(&files)?) {
                Ok(kept) => {
                    let kept =
                        kept.filter(|kept| kept.version == VERSION && kept.files == files)?;
                    Hash::from_hex(kept.weights).ok()
                }
                Err(error @ FileError::Damaged { .. }) => {
                    warn_of(&error, "the weights are hashed again");
                    None
                }
                Err(error) => {
                    let then = "the weights are hashed at each start, and the file stays as it \
                        is: delete it, or \
                                name another cache folder with XDG_CACHE_HOME";
                    warn_of(&error, then);
                    None
                }
            }
        }

        /// Keeps the hash, if the files did not change since `before`.
        pub(super) fn store(&self, hash: Hash, before: Option<Vec<Identity>>) {
            let (Origin::Stored(checkpoint), Some(before)) = (&self.origin, before) else {
                return;
            };
            if checkpoint.identity().as_ref() != Some(&before) {
                return;
            }
            let Some(path) = self.file(&before) else {
                return;
            };
            let kept = Kept {
                version: VERSION,
                files: before,
                weights: hash.to_hex().to_string(),
            };
            if let Err(error) = write_checked(&path, kept) {
                let then = "the weights are hashed again at the next start; XDG_CACHE_HOME names \
                    another cache folder";
                warn_of(&error, then);
            }
        }
    }
}

#[cfg(target_arch = "wasm32")]
impl WeightsHash {
    fn kept(&self, _: &dyn Checkpoint) -> Option<Hash> {
        None
    }

    fn store(&self, _: Hash, _: Option<Vec<Identity>>) {}
}
