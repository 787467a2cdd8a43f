//! The format of snapshots: tokens and their KV cache in a file, so that they are not computed
//! twice.
//!
//! A file is `GODWITKV`, a version and the length of a JSON header (u32 each), the header, the ids
//! of all tokens up to the last saved one (u32), the saved positions' keys and values as the
//! kernels store them (runs of [`RUN`] positions; in a run layer by layer, keys then values, whole
//! tiles of 32 positions), and the BLAKE3 hash of all that. Numbers are little-endian. The layout
//! knows nothing of segments: what was saved with one segmentation loads into another.

mod read;
#[cfg(test)]
mod tests;
mod write;

use std::io::{self, Read, Write};
use std::ops::Range;

use serde::{Deserialize, Serialize};
use thiserror::Error as ThisError;

use crate::io::Input;

pub(crate) use read::{OpenedSnapshot, Requirements, SnapshotReader};
pub(crate) use write::SnapshotWriter;

const MAGIC: &[u8; 8] = b"GODWITKV";
/// Version 1 knew a model by the first bytes of each tensor.
const VERSION: u32 = 2;
/// Positions of a tile.
pub(crate) const TILE: usize = 32;
/// Positions that are read back or written together. A multiple of [`TILE`].
const RUN: u32 = 256;
/// The largest header: a long conversation's text.
const MOST_HEADER: u32 = 256 << 20;

/// What a snapshot says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SnapshotHeader {
    /// Of the model, its rotary embedding, and the type of the KV cache:
    /// [`Session::fingerprint`](crate::Session::fingerprint).
    pub fingerprint: String,
    /// The model's name, for people.
    pub model: String,
    /// The type of the KV cache, for people.
    pub kv: String,
    /// The first position whose keys and values are in the file; a multiple of 32.
    pub first: u32,
    /// How many positions there are from there on.
    pub count: u32,
    /// Whatever the saver wants to find again.
    pub note: serde_json::Value,
}

/// What is wrong with a snapshot.
#[derive(Clone, Debug, PartialEq, ThisError)]
#[non_exhaustive]
pub enum SnapshotError {
    /// Reading failed: the file may be good.
    #[error("it can't be read: {0}")]
    Read(String),
    /// It is another kind of file.
    #[error("it is not a snapshot")]
    Magic,
    /// It comes from another version.
    #[error(
        "it has version {0} of the format, and this version of Godwit reads version {VERSION} \
         only; compute the context \
         again and save it anew"
    )]
    Version(u32),
    /// It ends too early.
    #[error("it is cut short")]
    Truncated,
    /// Its bytes are not those that were written.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    /// It is another model's, or has another type of KV cache.
    #[error("it was saved by `{model}` with a {kv} KV cache and can't be used here: {why}")]
    Foreign {
        /// The model that the file names.
        model: String,
        /// The KV cache's type.
        kv: String,
        /// The difference.
        why: &'static str,
    },
    /// Its tokens are not those that were expected.
    #[error("its tokens differ starting at position {0}")]
    Tokens(usize),
}

impl From<io::Error> for SnapshotError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Truncated,
            _ => Self::Read(error.to_string()),
        }
    }
}

impl SnapshotError {
    /// Whether the file is proven to be damaged: no session will ever resume from it. A file that
    /// can't be read, or that belongs to another model, version or text, is not.
    pub fn proves_damage(&self) -> bool {
        match self {
            Self::Magic | Self::Truncated | Self::Damaged(_) => true,
            Self::Read(_) | Self::Version(_) | Self::Foreign { .. } | Self::Tokens(_) => false,
        }
    }
}

/// Hashes what passes through.
struct Hashed<T> {
    inner: T,
    hash: blake3::Hasher,
}

impl<T> Hashed<T> {
    fn new(inner: T) -> Self {
        Self {
            inner,
            hash: blake3::Hasher::new(),
        }
    }
}

impl<T: Read> Hashed<T> {
    fn take(&mut self, into: &mut [u8]) -> Result<(), SnapshotError> {
        self.inner.read_exact(into)?;
        self.hash.update(into);
        Ok(())
    }

    fn u32(&mut self) -> Result<u32, SnapshotError> {
        let mut bytes = [0; 4];
        self.take(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }
}

impl<T: Write> Hashed<T> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.inner.write_all(bytes)?;
        self.hash.update(bytes);
        Ok(())
    }
}

impl SnapshotHeader {
    /// Reads the header of a snapshot and no more: to refuse a wrong file before a model is
    /// loaded.
    ///
    /// # Errors
    /// It is no snapshot, of another version, or its beginning is damaged.
    pub fn read(input: &mut Input<'_>) -> Result<Self, SnapshotError> {
        read_header(&mut Hashed::new(input))
    }
}

/// Reads as far as the header, and checks its form.
fn read_header(input: &mut Hashed<&mut Input<'_>>) -> Result<SnapshotHeader, SnapshotError> {
    let mut magic = [0; 8];
    input.take(&mut magic).map_err(|error| {
        if error == SnapshotError::Truncated {
            SnapshotError::Magic
        } else {
            error
        }
    })?;
    if &magic != MAGIC {
        return Err(SnapshotError::Magic);
    }
    let version = input.u32()?;
    if version != VERSION {
        return Err(SnapshotError::Version(version));
    }
    let len = input.u32()?;
    if len > MOST_HEADER {
        return Err(SnapshotError::Damaged("its header is too long"));
    }
    // A piece at a time: a length that lies costs no memory.
    let mut json = Vec::new();
    while json.len() < len as usize {
        let at = json.len();
        json.resize((at + (1 << 16)).min(len as usize), 0);
        input.take(&mut json[at..])?;
    }
    let header: SnapshotHeader = serde_json::from_slice(&json)
        .map_err(|_| SnapshotError::Damaged("its header is no JSON"))?;
    if !header.first.is_multiple_of(32)
        || header.first.checked_add(header.count).is_none()
        || header.count == 0
    {
        return Err(SnapshotError::Damaged("its header contradicts itself"));
    }
    Ok(header)
}

/// Runs of positions, each as long as [`RUN`] allows.
pub(crate) fn runs(first: u32, count: u32) -> impl Iterator<Item = Range<u32>> {
    let end = first + count;
    (first..end)
        .step_by(RUN as usize)
        .map(move |at| at..(at + RUN).min(end))
}
