//! A hash of all weights, which tells one model from another.
//!
//! It is the BLAKE3 hash of a table of all tensors: name, format, shape, and the BLAKE3 hash of the
//! tensor's bytes. So tensors are hashed in parallel, or one after the other while they are loaded,
//! and the metadata of a file may change.

mod hashing;
#[cfg(not(target_arch = "wasm32"))]
mod kept;
#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use blake3::{Hash, Hasher};

use crate::checkpoint::Checkpoint;
use crate::error::Error;
use crate::gguf::Tensor;
use crate::io::Identity;
use crate::progress::{OnProgress, unwatched};
use hashing::{hash_tensor, hash_tensors};

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
        self.get_with(&mut unwatched)
    }

    /// The hash; `progress` hears how many bytes are hashed, where they have to be.
    ///
    /// # Errors
    /// A file can't be read, or `progress` says stop.
    pub fn get_with(&self, progress: &mut OnProgress<'_>) -> Result<Hash, Error> {
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

#[cfg(target_arch = "wasm32")]
impl WeightsHash {
    fn kept(&self, _: &dyn Checkpoint) -> Option<Hash> {
        None
    }

    fn store(&self, _: Hash, _: Option<Vec<Identity>>) {}
}
