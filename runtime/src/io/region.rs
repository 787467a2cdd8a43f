//! A part of another source: a model inside an archive.

use std::path::Path;

use super::error::{SourceCause, SourceError};
use super::source::{Identity, Source};

/// A range of another source's bytes.
///
/// A model that a program ships inside a file of its own is opened through it, at any offset.
pub struct Region {
    name: String,
    source: Box<dyn Source>,
    offset: u64,
    len: u64,
}

impl Region {
    /// `len` bytes of `source` from `offset` on.
    ///
    /// # Errors
    /// The source ends before, or the region is empty.
    pub fn new(source: Box<dyn Source>, offset: u64, len: u64) -> Result<Self, SourceError> {
        let name = format!("{} ({len} bytes from byte {offset})", source.name());
        let remaining = source.len().saturating_sub(offset);
        let cause = match len {
            0 => SourceCause::Empty,
            _ if len > remaining => SourceCause::Truncated {
                needed: len,
                remaining,
            },
            _ => {
                return Ok(Self {
                    name,
                    source,
                    offset,
                    len,
                });
            }
        };
        Err(SourceError::new(source.name(), cause).at(offset))
    }
}

impl Source for Region {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), SourceError> {
        check_range(&self.name, self.len, offset, into.len())?;
        // It does not overflow: the region ends within the source.
        self.source.read(self.offset + offset, into)
    }

    fn mapped(&self) -> Option<&[u8]> {
        let all = self.source.mapped()?;
        let begin = usize::try_from(self.offset).ok()?;
        let len = usize::try_from(self.len).ok()?;
        all.get(begin..)?.get(..len)
    }

    fn check_unchanged(&self) -> Result<(), SourceError> {
        self.source.check_unchanged()
    }

    fn path(&self) -> Option<&Path> {
        self.source.path()
    }

    fn identity(&self) -> Option<Identity> {
        let Identity { name, state } = self.source.identity()?;
        Some(Identity {
            name: format!("{name} ({} bytes from byte {})", self.len, self.offset),
            state,
        })
    }
}

/// Checks that `count` bytes from `offset` on are within a source of `len` bytes.
pub(super) fn check_range(
    name: &str,
    len: u64,
    offset: u64,
    count: usize,
) -> Result<(), SourceError> {
    let (needed, remaining) = (count as u64, len.saturating_sub(offset));
    match needed > remaining {
        true => {
            Err(SourceError::new(name, SourceCause::Truncated { needed, remaining }).at(offset))
        }
        false => Ok(()),
    }
}
