//! Hashes that are kept in a folder, where a later start finds them if the files are the same.

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
                let kept = kept.filter(|kept| kept.version == VERSION && kept.files == files)?;
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
