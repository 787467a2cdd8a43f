//! Files that are there whole or not at all, also after a crash of the process or of the system.
//!
//! A file is written without a name (`O_TMPFILE`) where the file system has that, synced, named,
//! and its folder synced. Where a name is needed before the end (to replace a file, or on other
//! systems), it is `.godwit-….part`, and the process holds a lock on the file as long as it lives:
//! the next process that writes into the folder deletes those whose lock nobody holds.

mod new_file;
mod parts;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::Path;

use super::crash_point;
use super::error::{ContentError, FileError};
pub use super::open::Readers;
use super::open::{Links, open_regular};
use new_file::NewFile;
#[cfg(target_os = "linux")]
use new_file::unnamed;
#[cfg(unix)]
use parts::named;
pub use parts::sweep;

/// The folder that a file is in, or will be.
pub fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// The treatment of a file that is at the path already when a new one is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It is replaced.
    Replace,
    /// There is none: one that appeared meanwhile stays, and writing fails.
    Keep,
}

/// Writes a file of a cache that is there whole or not at all. What was at the path is replaced.
///
/// # Errors
/// An error of `write`, or the file can't be written. Errors of writing name the file.
pub async fn write_atomically<E: ContentError>(
    path: &Path,
    write: impl AsyncFnOnce(&mut BufWriter<&mut File>) -> Result<(), E>,
) -> Result<(), E> {
    write_guarded(path, Readers::Owner, || Ok(Existing::Replace), write).await
}

/// [`write_atomically`], with a choice of readers and a last look at what is at the path: `guard`
/// is called when the new file is complete, and says what happens to an existing one.
///
/// # Errors
/// An error of `write` or `guard`, or the file can't be written. Errors of writing name the file.
pub async fn write_guarded<W: ContentError, E: From<W>>(
    path: &Path,
    readers: Readers,
    guard: impl FnOnce() -> Result<Existing, E>,
    write: impl AsyncFnOnce(&mut BufWriter<&mut File>) -> Result<(), W>,
) -> Result<(), E> {
    let io = |doing| move |error: io::Error| W::from(FileError::io(path, doing, &error));
    let mut new = NewFile::create(path, readers).map_err(io("create the file"))?;
    let mut out = BufWriter::with_capacity(1 << 20, new.file_mut());
    write(&mut out)
        .await
        .map_err(|error| match error.write_failure() {
            // A writer knows its bytes, not their file.
            Some(message) => {
                let (file, message) = (path.display().to_string(), message.to_owned());
                W::from(FileError::Io {
                    file,
                    doing: "write the file",
                    message,
                })
            }
            None => error,
        })?;
    out.flush().map_err(io("write the file"))?;
    drop(out);
    let existing = guard()?;
    new.commit(existing).map_err(io("write the file"))?;
    Ok(())
}

/// Writes a small file, whole or not at all. What was at the path is replaced.
///
/// # Errors
/// The file can't be written.
pub fn write_bytes(path: &Path, readers: Readers, bytes: &[u8]) -> io::Result<()> {
    let mut new = NewFile::create(path, readers)?;
    new.file_mut().write_all(bytes)?;
    crash_point();
    new.commit(Existing::Replace)
}

/// Copies a file, whole or not at all. What was at `to` is replaced.
///
/// # Errors
/// A file can't be read or written.
pub fn copy(from: &Path, to: &Path, readers: Readers) -> io::Result<()> {
    let (mut file, _) = open_regular(from, Links::Follow)?;
    let mut new = NewFile::create(to, readers)?;
    io::copy(&mut file, new.file_mut())?;
    new.commit(Existing::Replace)
}

/// Syncs a file that is complete, moves it to where it belongs, and syncs the folder. Both paths
/// are in the same folder.
///
/// # Errors
/// The file can't be synced or moved.
pub fn finish(file: File, from: &Path, to: &Path) -> io::Result<()> {
    file.sync_all()?;
    crash_point();
    // Windows renames no file that is open without sharing.
    drop(file);
    fs::rename(from, to)?;
    crash_point();
    sync_folder(folder_of(to))
}

/// Makes the entries of a folder survive a crash of the system, where the system can.
///
/// # Errors
/// The disk fails.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        // A folder may be writable and not readable; some file systems sync no folders.
        let Ok(folder) = File::open(folder) else {
            return Ok(());
        };
        match folder.sync_all() {
            Err(error)
                if !matches!(
                    error.kind(),
                    ErrorKind::InvalidInput | ErrorKind::Unsupported
                ) =>
            {
                Err(error)
            }
            _ => Ok(()),
        }
    }
    #[cfg(not(unix))]
    {
        let _ = folder;
        Ok(())
    }
}

/// Opens a file whose content does not matter, to lock it. It is made where there is none, for
/// these readers; a link is not followed.
///
/// # Errors
/// The file can't be opened, or is none.
pub fn open_lock(path: &Path, readers: Readers) -> io::Result<File> {
    super::open::open_to_append(path, readers)
}

/// Whether a path is that of an open file still.
pub fn is_at(file: &File, path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let of = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        let (opened, named) = (file.metadata().map(of), path.symlink_metadata().map(of));
        opened.is_ok_and(|opened| named.is_ok_and(|named| named == opened))
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        path.exists()
    }
}

/// A file without a name, which ends with the process: for bytes that memory has no room for.
///
/// # Errors
/// The folder takes no file.
pub fn unnamed_in(folder: &Path) -> io::Result<File> {
    #[cfg(target_os = "linux")]
    if let Some(file) = unnamed(folder, Readers::Owner)? {
        return Ok(file);
    }
    #[cfg(unix)]
    {
        sweep(folder);
        let (file, path) = named(folder, Readers::Owner)?.into_parts();
        path.close()?;
        Ok(file)
    }
    // Windows deletes it when it is closed.
    #[cfg(not(unix))]
    tempfile::tempfile_in(folder)
}

/// Whether a lock failed because the file system has none.
pub fn means_no_locks(error: &io::Error) -> bool {
    /// `ENOLCK` of Linux: a network drive without a lock server.
    const NO_LOCK_SERVER: i32 = 37;
    let no_server = cfg!(target_os = "linux") && error.raw_os_error() == Some(NO_LOCK_SERVER);
    no_server || error.kind() == ErrorKind::Unsupported
}
