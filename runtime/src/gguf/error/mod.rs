//! The errors of a model file.

mod cause;

use std::fmt;

use thiserror::Error;

use crate::io::{SourceCause, SourceError};
pub use cause::FormatCause;

/// A model file that can't be read: which file, where in it, what it was about, and what to do.
#[derive(Clone, Debug, PartialEq, Error)]
#[error("{file}{}{subject}: {cause}", Place(*.offset))]
pub struct FormatError {
    /// The file's name, as its source gives it.
    pub file: String,
    /// The byte of the file that is to blame, if one is.
    pub offset: Option<u64>,
    /// The part of the file that was being read or asked for.
    pub subject: Subject,
    /// The cause.
    pub cause: Box<FormatCause>,
}

impl FormatError {
    /// An error about a whole file.
    pub fn file(name: impl Into<String>, cause: FormatCause) -> Self {
        Self {
            file: name.into(),
            offset: None,
            subject: Subject::File,
            cause: Box::new(cause),
        }
    }

    /// An error about the value of one key.
    pub fn key(file: impl Into<String>, key: impl Into<String>, cause: FormatCause) -> Self {
        Self {
            subject: Subject::Key(key.into()),
            ..Self::file(file, cause)
        }
    }

    /// An error about one tensor.
    pub fn tensor(file: impl Into<String>, tensor: impl Into<String>, cause: FormatCause) -> Self {
        Self {
            subject: Subject::Tensor(tensor.into()),
            ..Self::file(file, cause)
        }
    }

    /// The same error, at a byte of the file.
    #[must_use]
    pub fn at(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }
}

impl From<SourceError> for FormatError {
    fn from(error: SourceError) -> Self {
        let SourceError {
            file,
            offset,
            cause,
        } = error;
        let cause = match cause {
            // A folder may be a model too.
            SourceCause::Folder => FormatCause::Folder,
            cause => FormatCause::Source(cause),
        };
        Self {
            offset,
            ..Self::file(file, cause)
        }
    }
}

struct Place(Option<u64>);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |offset| write!(f, ", byte {offset}"))
    }
}

/// The subject of an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The file as a whole.
    File,
    /// The fixed fields at the start.
    Header,
    /// The metadata entry at this place in the list, before its key is known.
    Entry(u64),
    /// A metadata key.
    Key(String),
    /// The tensor at this place in the table, before its name is known.
    Row(u64),
    /// A tensor.
    Tensor(String),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::File => Ok(()),
            Subject::Header => write!(f, ", header"),
            Subject::Entry(index) => write!(f, ", metadata entry {index}"),
            Subject::Key(key) => write!(f, ", key `{}`", key.escape_debug()),
            Subject::Row(index) => write!(f, ", tensor {index}"),
            Subject::Tensor(name) => write!(f, ", tensor `{}`", name.escape_debug()),
        }
    }
}
