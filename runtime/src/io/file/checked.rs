//! Small files with a checksum of their content, and a writer that hashes what passes through.

use std::io::{self, Read, Write};
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::io::durable::{Readers, folder_of, write_bytes};
use crate::io::error::FileError;
use crate::io::open::open_private;
use crate::io::private::make_private_folder;

/// A small file of ours, with the hash of its content.
#[derive(Serialize, Deserialize)]
struct Checked<T> {
    content: T,
    blake3: String,
}

fn checksum(content: &impl Serialize) -> String {
    // Content that can't be serialised can't be written either: nothing is compared with the hash
    // of nothing.
    let json = serde_json::to_vec(content).unwrap_or_default();
    blake3::hash(&json).to_hex().to_string()
}

/// The content of a small file that [`write_checked`] wrote; none where there is no file.
///
/// # Errors
/// The file can't be read, or it is proven to be damaged or of another version.
pub(crate) fn read_checked<T: Serialize + DeserializeOwned>(
    path: &Path,
) -> Result<Option<T>, FileError> {
    let Some((mut file, _)) = open_private(path)? else {
        return Ok(None);
    };
    let mut json = Vec::new();
    file.read_to_end(&mut json)
        .map_err(|error| FileError::io(path, "read the file", &error))?;
    let damaged = |why: &str| FileError::Damaged {
        file: path.display().to_string(),
        why: why.into(),
    };
    let checked: Checked<T> = serde_json::from_slice(&json)
        .map_err(|_| damaged("it is not what this version of Godwit writes"))?;
    if checksum(&checked.content) != checked.blake3 {
        return Err(damaged("its checksum is wrong"));
    }
    Ok(Some(checked.content))
}

/// Writes a small file with the hash of its content; the folder is made where it is missing.
///
/// # Errors
/// The file can't be written.
pub(crate) fn write_checked<T: Serialize>(path: &Path, content: T) -> Result<(), FileError> {
    make_private_folder(folder_of(path))?;
    let checked = Checked {
        blake3: checksum(&content),
        content,
    };
    let json = serde_json::to_vec_pretty(&checked).map_err(io::Error::from);
    json.and_then(|json| write_bytes(path, Readers::Owner, &json))
        .map_err(|error| FileError::io(path, "write the file", &error))
}

/// Hashes the bytes that pass through to a writer.
pub(crate) struct Hashing<W> {
    out: W,
    hash: blake3::Hasher,
}

impl<W: Write> Hashing<W> {
    pub fn new(out: W) -> Self {
        Self {
            out,
            hash: blake3::Hasher::new(),
        }
    }

    /// The hash of all bytes so far.
    pub fn hash(&self) -> blake3::Hash {
        self.hash.finalize()
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.hash.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
