//! Files as sources of bytes, and small files with a checksum.

mod checked;
mod opened;
#[cfg(test)]
mod tests;

use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use memmap2::Mmap;

use super::error::{SourceCause, SourceError};
use super::open::{Links, open_any};
use super::source::{Identity, Source, copy_from};
pub(crate) use checked::{Hashing, read_checked, write_checked};
use opened::Opened;

/// How a file's bytes get into memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Mapped: fast, and only what is used is read. A file that was changed or cut short is an
    /// error; one that is cut short at the moment that its bytes are read ends the process.
    #[default]
    Mapped,
    /// Read piece by piece, for files that may change and for network drives: also a file that is
    /// cut short at any moment is an error.
    Plain,
}

fn link_target(path: &Path) -> String {
    std::fs::read_link(path).map_or_else(
        |error| error.to_string(),
        |target| target.display().to_string(),
    )
}

/// Opens one file, memory-mapped.
///
/// # Errors
/// The file is missing, empty, a folder, or can't be read.
pub fn open_file(path: &Path) -> Result<Box<dyn Source>, SourceError> {
    open_file_with(path, Access::Mapped)
}

fn io(path: &Path, doing: &'static str, error: &std::io::Error) -> SourceError {
    let cause = match error.kind() {
        ErrorKind::NotFound => SourceCause::Missing,
        _ => SourceCause::Io {
            doing,
            message: error.to_string(),
        },
    };
    SourceError::new(path.display().to_string(), cause)
}

/// Opens a model file: once, and all that is asked of it later is asked of the open file.
pub fn open_file_with(path: &Path, access: Access) -> Result<Box<dyn Source>, SourceError> {
    // Links are followed before the opening, so that the path in the identity is the opened one's.
    let real = path.canonicalize().map_err(|error| {
        if path.is_symlink() {
            let message = format!("it leads nowhere ({})", link_target(path));
            return SourceError::new(
                path.display().to_string(),
                SourceCause::Io {
                    doing: "follow the link",
                    message,
                },
            );
        }
        io(path, "look at the file", &error)
    })?;
    let (file, metadata) = open_any(&real, Links::Refuse).map_err(|error| match real.is_dir() {
        // Windows opens no folder as a file.
        true => SourceError::new(path.display().to_string(), SourceCause::Folder),
        false => io(path, "open the file", &error),
    })?;
    source(
        path,
        real,
        file,
        &metadata,
        metadata.modified().ok(),
        access,
    )
}

/// A file that is open already, as a model file. Where its time of change is given, no other time
/// may be found later.
///
/// # Errors
/// It is empty, no regular file, or can't be mapped.
pub(crate) fn source(
    path: &Path,
    real: PathBuf,
    file: File,
    metadata: &Metadata,
    modified: Option<SystemTime>,
    access: Access,
) -> Result<Box<dyn Source>, SourceError> {
    let name = path.display().to_string();
    let cause = if metadata.is_dir() {
        Some(SourceCause::Folder)
    } else if !metadata.is_file() {
        Some(SourceCause::NotRegular)
    } else if metadata.len() == 0 {
        Some(SourceCause::Empty)
    } else {
        None
    };
    if let Some(cause) = cause {
        return Err(SourceError::new(name, cause));
    }
    let opened = Opened {
        name,
        real,
        len: metadata.len(),
        modified,
        access,
        file,
    };
    match access {
        Access::Mapped => {
            // SAFETY: The map is read-only. The bytes may change if another process writes to the
            // file: they are only ever copied or read as plain numbers, so other bytes mean other
            // weights. Everything that is trusted (offsets, lengths) was copied out of the map
            // before it was checked. A file that is cut short raises a signal, as `Access::Mapped`
            // says; `Access::Plain` is there for such files.
            let map = unsafe { Mmap::map(&opened.file) }
                .map_err(|error| io(path, "map the file", &error))?;
            Ok(Box::new(Mapped { map, opened }))
        }
        Access::Plain => Ok(Box::new(Plain {
            reading: Mutex::new(()),
            opened,
        })),
    }
}

struct Mapped {
    map: Mmap,
    opened: Opened,
}

impl Source for Mapped {
    fn name(&self) -> &str {
        &self.opened.name
    }

    fn len(&self) -> u64 {
        self.map.len() as u64
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), SourceError> {
        self.check_unchanged()?;
        copy_from(&self.opened.name, &self.map, offset, into)
    }

    fn mapped(&self) -> Option<&[u8]> {
        Some(&self.map)
    }

    fn check_unchanged(&self) -> Result<(), SourceError> {
        self.opened.check_unchanged()
    }

    fn path(&self) -> Option<&Path> {
        Some(Path::new(&self.opened.real))
    }

    fn identity(&self) -> Option<Identity> {
        self.opened.identity()
    }
}

struct Plain {
    opened: Opened,
    /// Held from a seek to the end of the read after it.
    reading: Mutex<()>,
}

impl Source for Plain {
    fn name(&self) -> &str {
        &self.opened.name
    }

    fn len(&self) -> u64 {
        self.opened.len
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), SourceError> {
        // A poisoned lock holds no broken state: each read seeks first.
        let reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let mut file = &self.opened.file;
        let done = file
            .seek(SeekFrom::Start(offset))
            .and_then(|_| file.read_exact(into));
        drop(reading);
        // Where the file was changed, that is why reading fails, and what was read may be of either
        // version.
        self.opened.check_unchanged()?;
        done.map_err(|error| io(Path::new(&self.opened.name), "read the file", &error).at(offset))
    }

    fn check_unchanged(&self) -> Result<(), SourceError> {
        self.opened.check_unchanged()
    }

    fn path(&self) -> Option<&Path> {
        Some(Path::new(&self.opened.real))
    }

    fn identity(&self) -> Option<Identity> {
        self.opened.identity()
    }
}
