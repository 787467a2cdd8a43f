//! Where the bytes of a file come from.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::{Fault, FormatError, Subject};
use super::gguf::Tensor;

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
    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), FormatError>;

    /// All bytes, where they are in memory anyway.
    fn mapped(&self) -> Option<&[u8]> {
        None
    }

    /// Checks that the bytes are still those that were there when the file was opened.
    ///
    /// # Errors
    /// The file was written to since.
    fn check_unchanged(&self) -> Result<(), FormatError> {
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

/// What tells a file's bytes from all others: while neither part changes, no byte has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Which file it is: its path.
    pub name: String,
    /// What changes when its bytes change: size, times, and number on the disk.
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

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), FormatError> {
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
) -> Result<(), FormatError> {
    let rest = usize::try_from(offset)
        .ok()
        .and_then(|start| data.get(start..))
        .unwrap_or_default();
    let Some(found) = rest.get(..into.len()) else {
        let (needed, remaining) = (into.len() as u64, rest.len() as u64);
        let fault = Fault::Truncated {
            what: "a read",
            needed,
            remaining,
        };
        return Err(FormatError::file(name, fault).at(offset));
    };
    into.copy_from_slice(found);
    Ok(())
}

/// Bytes of a tensor that lies in this file: borrowed where the file is mapped or in memory, else
/// read.
pub(crate) fn slice<'a>(
    source: &'a dyn Source,
    tensor: &Tensor,
    range: Range<u64>,
) -> Result<Cow<'a, [u8]>, FormatError> {
    let Range { start, end } = range;
    let fault = || {
        FormatError::tensor(
            source.name(),
            &tensor.name,
            Fault::Range {
                start,
                end,
                bytes: tensor.bytes,
            },
        )
    };
    if start > end || end > tensor.bytes {
        return Err(fault());
    }
    let from = tensor.offset.checked_add(start).ok_or_else(fault)?;
    let to = tensor
        .offset
        .checked_add(end)
        .filter(|&to| to <= source.len())
        .ok_or_else(fault)?;
    let len = usize::try_from(to - from).map_err(|_| fault())?;
    if let Some(all) = source.mapped() {
        source.check_unchanged()?;
        let from = usize::try_from(from).map_err(|_| fault())?;
        return all
            .get(from..)
            .and_then(|rest| rest.get(..len))
            .map(Cow::Borrowed)
            .ok_or_else(fault);
    }
    let mut bytes = vec![0; len];
    source.read(from, &mut bytes).map_err(|mut error| {
        error.subject = Subject::Tensor(tensor.name.clone());
        error
    })?;
    Ok(Cow::Owned(bytes))
}
