//! Files as sources of bytes, and small files with a checksum.

#[cfg(test)]
mod tests;

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use memmap2::Mmap;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::durable::{Readers, folder_of, write_bytes};
use super::error::{FileError, SourceCause, SourceError};
use super::open::{Links, open_any, open_private};
use super::private::make_private_folder;
use super::source::{Identity, Source, copy_from};

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

/// The age from which a file's times tell whether it was written since: clocks of file systems tick
/// every few milliseconds, or every two seconds where they count in whole seconds.
const SETTLED: Duration = Duration::from_millis(100);
const SETTLED_COARSE: Duration = Duration::from_millis(2100);

/// How much other computers' clocks are ahead of this one's, usually, at most.
const AHEAD: Duration = Duration::from_secs(10);

/// An open model file, as it was when it was opened.
struct Opened {
    /// As its path was given.
    name: String,
    /// Its path without links.
    real: PathBuf,
    len: u64,
    /// When it was written last; none where others may set that.
    modified: Option<SystemTime>,
    access: Access,
    file: File,
}

impl Opened {
    /// What tells the file from others, and from its earlier contents, without reading it. None
    /// where its times can't tell: a write that follows at once would leave them as they are.
    fn identity(&self) -> Option<Identity> {
        let metadata = self.file.metadata().ok()?;
        let modified = metadata.modified().ok()?;
        let changed = changed(&metadata).unwrap_or(modified);
        for time in [modified, changed] {
            let whole_seconds = time
                .duration_since(SystemTime::UNIX_EPOCH)
                .ok()?
                .subsec_nanos()
                == 0;
            let settled = if whole_seconds {
                SETTLED_COARSE
            } else {
                SETTLED
            };
            match SystemTime::now().duration_since(time) {
                Ok(age) if age < settled => return None,
                // The clock was set back since, or it is another computer's, which may be as much
                // ahead as this.
                Err(ahead) if ahead.duration() < AHEAD => return None,
                // A write at another time than that leaves another time.
                _ => {}
            }
        }
        let nanoseconds = |time: SystemTime| {
            time.duration_since(SystemTime::UNIX_EPOCH)
                .ok()
                .map(|t| t.as_nanos())
        };
        let created = metadata.created().ok().and_then(nanoseconds).unwrap_or(0);
        let state = format!(
            "{} bytes, modified {}, changed {}, created {created}, file {}",
            metadata.len(),
            nanoseconds(modified)?,
            nanoseconds(changed)?,
            file_number(&metadata),
        );
        Some(Identity {
            name: self.real.to_string_lossy().into_owned(),
            state,
        })
    }

    /// Fails where the file was written to since it was opened: parts of two versions make no
    /// model.
    fn check_unchanged(&self) -> Result<(), SourceError> {
        let metadata = self
            .file
            .metadata()
            .map_err(|error| io(Path::new(&self.name), "look at the file", &error))?;
        let is_as_old = self
            .modified
            .is_none_or(|before| metadata.modified().is_ok_and(|now| now == before));
        if metadata.len() == self.len && is_as_old {
            return Ok(());
        }
        let (now, is_mapped) = (metadata.len(), self.access == Access::Mapped);
        Err(SourceError::new(
            &self.name,
            SourceCause::Changed {
                before: self.len,
                now,
                is_mapped,
            },
        ))
    }
}

/// When the file's content or its entry changed: nobody can set that back.
#[cfg(unix)]
fn changed(metadata: &Metadata) -> Option<SystemTime> {
    use std::os::unix::fs::MetadataExt as _;
    let seconds = Duration::from_secs(u64::try_from(metadata.ctime()).ok()?);
    Some(
        SystemTime::UNIX_EPOCH
            + seconds
            + Duration::from_nanos(u64::try_from(metadata.ctime_nsec()).ok()?),
    )
}

#[cfg(not(unix))]
fn changed(_: &Metadata) -> Option<SystemTime> {
    None
}

/// The file's number on its disk, and the disk's.
#[cfg(unix)]
fn file_number(metadata: &Metadata) -> String {
    use std::os::unix::fs::MetadataExt as _;
    format!("{} on {}", metadata.ino(), metadata.dev())
}

#[cfg(not(unix))]
fn file_number(_: &Metadata) -> String {
    "unknown".into()
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
