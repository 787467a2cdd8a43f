//! What can go wrong with files and other sources of bytes.

use std::fmt;

use thiserror::Error;

/// A file that Godwit writes and reads again: it can't be, or what is in it is proven to be wrong.
/// The two are apart because only what is proven to be wrong may be deleted.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum FileError {
    /// The file may be good: the system refuses.
    #[error("{file}: can't {doing}: {message}")]
    Io {
        /// The file or folder.
        file: String,
        /// The operation that failed.
        doing: &'static str,
        /// The system's message.
        message: String,
    },
    /// It belongs to another user.
    #[error(
        "{file} belongs to user {owner}, and is not used by user {user}: its owner could change \
         what is read and see what \
         is written there; take it over with chown, or use a folder of your own"
    )]
    Foreign {
        /// The file or folder.
        file: String,
        /// Its owner's number.
        owner: u32,
        /// The number of the user that this process runs as.
        user: u32,
    },
    /// The file is not what was written.
    #[error("{file} can't be used: {why}")]
    Damaged {
        /// The file.
        file: String,
        /// The cause.
        why: String,
    },
}

#[cfg(not(target_arch = "wasm32"))]
impl FileError {
    /// What the system says of a file, and what to do about it.
    pub fn io(file: &std::path::Path, doing: &'static str, error: &std::io::Error) -> Self {
        Self::Io {
            file: file.display().to_string(),
            doing,
            message: explained(error),
        }
    }
}

/// What the system says, and what to do about it where that follows from it.
pub fn explained(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            format!("{error}: make room on that disk, or use a folder on another one")
        }
        ErrorKind::FileTooLarge => {
            format!("{error}: no larger file is allowed there; use a folder on another disk")
        }
        ErrorKind::ReadOnlyFilesystem => format!("{error}: use a folder on another disk"),
        _ => error.to_string(),
    }
}

/// An error of what writes the content of a file.
pub trait ContentError: From<FileError> {
    /// What the system says, where bytes could not be written: the caller knows to which file.
    fn write_failure(&self) -> Option<&str>;
}

/// A source of bytes that can't be read: which file, where in it, and why.
#[derive(Clone, Debug, PartialEq, Error)]
#[error("{file}{}: {cause}", Place(*.offset))]
pub struct SourceError {
    /// The file's name, as its source gives it.
    pub file: String,
    /// The byte of the file that was to be read, where one is to blame.
    pub offset: Option<u64>,
    /// Why.
    pub cause: SourceCause,
}

impl SourceError {
    /// An error about a whole file.
    pub fn new(file: impl Into<String>, cause: SourceCause) -> Self {
        Self {
            file: file.into(),
            offset: None,
            cause,
        }
    }

    /// The same error, at a byte of the file.
    #[must_use]
    pub fn at(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }
}

struct Place(Option<u64>);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |offset| write!(f, ", byte {offset}"))
    }
}

/// Why a source of bytes can't be read, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SourceCause {
    /// The system refuses.
    #[error("can't {doing}: {message}")]
    Io {
        /// The operation that failed.
        doing: &'static str,
        /// The system's message.
        message: String,
    },
    /// There is nothing at the path.
    #[error("there is no such file; check the path")]
    Missing,
    /// A folder where a file is wanted.
    #[error("this is a folder; name a file in it")]
    Folder,
    /// A pipe, a device or a socket.
    #[error("this is not a regular file; copy the model to a file first")]
    NotRegular,
    /// Zero bytes.
    #[error("the file is empty; download it again")]
    Empty,
    /// The file was written to while it was in use.
    #[error(
        "the file was changed while it was read (it had {before} bytes when it was opened, and \
         has {now} now); start again \
         when it is complete{}",
        if *is_mapped { "; --no-mmap reads files that may be cut short at any moment, and those \
            on network drives" } else { "" }
    )]
    Changed {
        /// Its length when it was opened.
        before: u64,
        /// Its length now.
        now: u64,
        /// It was mapped.
        is_mapped: bool,
    },
    /// The file ends before the bytes that were asked for.
    #[error(
        "a read needs {needed} bytes, but the file has {remaining} more; the file is cut short or \
         damaged: download it again"
    )]
    Truncated {
        /// Bytes that were asked for.
        needed: u64,
        /// Bytes left in the file.
        remaining: u64,
    },
}
