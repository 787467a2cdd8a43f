//! Opening files without waiting for the writer of a pipe. Checks are made on the open file, never
//! on the path beforehand, where another file could be a moment later.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::path::Path;

use super::error::FileError;

/// The kind of an opened path that is not a regular file.
pub(crate) const NOT_REGULAR: &str = "it is not a regular file";

/// Whether a link at the end of a path leads on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// The file that it leads to is opened.
    Follow,
    /// It is an error.
    Refuse,
}

/// Which users may read a new file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Its owner alone: caches, and what a person typed.
    Owner,
    /// Those that the process's umask leaves: files that a person named. A file that is replaced
    /// hands its permissions on.
    Umask,
}

impl Readers {
    #[cfg(unix)]
    pub(super) fn mode(self) -> u32 {
        match self {
            Self::Owner => 0o600,
            Self::Umask => 0o666,
        }
    }
}

/// Flags for an opening that waits for nothing: a pipe without a writer opens at once.
fn at_once(options: &mut OpenOptions, links: Links) -> &mut OpenOptions {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;

        use rustix::fs::OFlags;
        let follow = if links == Links::Follow {
            OFlags::empty()
        } else {
            OFlags::NOFOLLOW
        };
        options.custom_flags(
            (OFlags::NONBLOCK | OFlags::NOCTTY | follow)
                .bits()
                .cast_signed(),
        );
    }
    #[cfg(not(unix))]
    let _ = links;
    options
}

/// The error for a link at the end of a path, where links are refused.
fn refused_link(path: &Path, links: Links, error: io::Error) -> io::Error {
    let is_link = || {
        path.symlink_metadata()
            .is_ok_and(|metadata| metadata.is_symlink())
    };
    if links == Links::Refuse && error.kind() != io::ErrorKind::NotFound && is_link() {
        return io::Error::new(
            error.kind(),
            "it is a link, which is not followed; remove it",
        );
    }
    error
}

/// Opens a file to read it, and returns what the system says of the opened file. It may be a folder
/// or a device.
///
/// # Errors
/// The file can't be opened.
pub fn open_any(path: &Path, links: Links) -> io::Result<(File, Metadata)> {
    let file = at_once(OpenOptions::new().read(true), links).open(path);
    let file = file.map_err(|error| refused_link(path, links, error))?;
    let metadata = file.metadata()?;
    Ok((file, metadata))
}

/// [`open_any`], for regular files alone.
///
/// # Errors
/// The file can't be opened, or is none.
pub fn open_regular(path: &Path, links: Links) -> io::Result<(File, Metadata)> {
    let (file, metadata) = open_any(path, links)?;
    if metadata.is_file() {
        return Ok((file, metadata));
    }
    let what = if metadata.is_dir() {
        "it is a folder"
    } else {
        NOT_REGULAR
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, what))
}

/// Opens a regular file to go on writing it, and makes it where there is none, for these readers. A
/// link is not followed, and a file that has another name too is not written to.
///
/// # Errors
/// The file can't be opened, or is none that may be written to.
pub fn open_to_append(path: &Path, readers: Readers) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).read(true).write(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, readers.mode());
    #[cfg(not(unix))]
    let _ = readers;
    let file = at_once(&mut options, Links::Refuse).open(path);
    let file = file.map_err(|error| refused_link(path, Links::Refuse, error))?;
    let metadata = file.metadata()?;
    let refused = |what: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    if !metadata.is_file() {
        return refused(NOT_REGULAR);
    }
    #[cfg(unix)]
    if std::os::unix::fs::MetadataExt::nlink(&metadata) > 1 {
        return refused(
            "it is another file's second name, and writing would change that file; remove it",
        );
    }
    Ok(file)
}

/// Opens a file of a private cache: a regular file of this user or of root, by no link. None where
/// there is no file: another process may have deleted it.
///
/// # Errors
/// The file can't be opened, is no regular file, or belongs to another user.
pub fn open_private(path: &Path) -> Result<Option<(File, Metadata)>, FileError> {
    let (file, metadata) = match open_regular(path, Links::Refuse) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(FileError::io(path, "open the file", &error)),
    };
    super::private::check_owner(path, &metadata)?;
    Ok(Some((file, metadata)))
}
