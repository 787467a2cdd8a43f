//! Where the bytes of a file come from.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::{SourceCause, SourceError};

/// The bytes of one file: mapped, read piece by piece, or in memory.
pub trait Source: Send + Sync {
    /// The file's name, for messages.
    fn name(&self) -> &str;

    /// The file's length in bytes.
    fn len(&self) -> u64;

    /// Whether the file has no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `into` with the bytes from `offset` on.
    ///
    /// # Errors
    /// When the file can't be read, or has fewer bytes.
    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), SourceError>;

    /// All bytes, where they are in memory anyway.
    fn mapped(&self) -> Option<&[u8]> {
        None
    }

    /// Checks that the bytes are still those that were there when the file was opened.
    ///
    /// # Errors
    /// The file was written to since.
    fn check_unchanged(&self) -> Result<(), SourceError> {
        Ok(())
    }

    /// Where the file is, if it is one of this computer's.
    fn path(&self) -> Option<&Path> {
        None
    }

    /// What tells the bytes from all others without reading them, where something does.
    fn identity(&self) -> Option<Identity> {
        None
    }
}

/// Identifies the bytes of a file: while neither part changes, no byte has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Which file it is: its path.
    pub name: String,
    /// Changes when the bytes change: size, times, and inode number.
    pub state: String,
}

/// A file that is in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bytes {
    /// The file's name, for messages.
    pub name: String,
    /// Its bytes.
    pub data: Vec<u8>,
}

impl Source for Bytes {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.data.len() as u64
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), SourceError> {
        copy_from(&self.name, &self.data, offset, into)
    }

    fn mapped(&self) -> Option<&[u8]> {
        Some(&self.data)
    }
}

/// [`Source::read`] for bytes that are in memory.
pub(crate) fn copy_from(
    name: &str,
    data: &[u8],
    offset: u64,
    into: &mut [u8],
) -> Result<(), SourceError> {
    let rest = usize::try_from(offset)
        .ok()
        .and_then(|start| data.get(start..))
        .unwrap_or_default();
    let Some(found) = rest.get(..into.len()) else {
        let (needed, remaining) = (into.len() as u64, rest.len() as u64);
        return Err(
            SourceError::new(name, SourceCause::Truncated { needed, remaining }).at(offset),
        );
    };
    into.copy_from_slice(found);
    Ok(())
}
