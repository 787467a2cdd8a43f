//! Files that are there whole or not at all, also after a crash of the process or of the system.
//!
//! A file is written without a name (`O_TMPFILE`) where the file system has that, synced, named,
//! and its folder synced. Where a name is needed before the end (to replace a file, or on other
//! systems), it is `.godwit-….part`, and the process holds a lock on the file as long as it lives:
//! the next process that writes into the folder deletes those whose lock nobody holds.

#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::NamedTempFile;

use super::crash_point;
use super::error::{ContentError, FileError};
pub use super::open::Readers;
use super::open::{Links, open_regular};

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

/// A file in the making.
struct NewFile {
    path: PathBuf,
    readers: Readers,
    file: Making,
}

enum Making {
    #[cfg(target_os = "linux")]
    Unnamed(File),
    Named(NamedTempFile),
}

impl NewFile {
    fn create(path: &Path, readers: Readers) -> io::Result<Self> {
        let folder = folder_of(path);
        sweep(folder);
        #[cfg(target_os = "linux")]
        if let Some(file) = unnamed(folder, readers)? {
            crash_point();
            return Ok(Self {
                path: path.into(),
                readers,
                file: Making::Unnamed(file),
            });
        }
        let file = named(folder, readers)?;
        crash_point();
        Ok(Self {
            path: path.into(),
            readers,
            file: Making::Named(file),
        })
    }

    fn file_mut(&mut self) -> &mut File {
        match &mut self.file {
            #[cfg(target_os = "linux")]
            Making::Unnamed(file) => file,
            Making::Named(file) => file.as_file_mut(),
        }
    }

    /// Syncs the file, gives it its name, and syncs the folder.
    fn commit(mut self, existing: Existing) -> io::Result<()> {
        #[cfg(unix)]
        if self.readers == Readers::Umask
            && existing == Existing::Replace
            && let Ok(old) = self.path.symlink_metadata()
            && old.is_file()
        {
            use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
            self.file_mut()
                .set_permissions(fs::Permissions::from_mode(old.mode() & 0o777))?;
        }
        self.file_mut().sync_all()?;
        crash_point();
        let path = &self.path;
        match self.file {
            #[cfg(target_os = "linux")]
            Making::Unnamed(file) => name(&file, path, existing)?,
            Making::Named(file) => match existing {
                Existing::Replace => drop(file.persist(path)?),
                Existing::Keep => drop(file.persist_noclobber(path).or_else(|error| {
                    // Some file systems have no way to rename only where nothing is: a look has to
                    // do.
                    let is_free = path
                        .symlink_metadata()
                        .is_err_and(|error| error.kind() == ErrorKind::NotFound);
                    if is_free {
                        error.file.persist(path)
                    } else {
                        Err(error)
                    }
                })?),
            },
        }
        crash_point();
        sync_folder(folder_of(path))
    }
}

/// A file without a name that can be given one; none where the file system or the system has no
/// such files.
#[cfg(target_os = "linux")]
fn unnamed(folder: &Path, readers: Readers) -> io::Result<Option<File>> {
    use rustix::fs::{CWD, Mode, OFlags, openat};
    use rustix::io::Errno;
    // A test takes the way of other file systems with this.
    #[cfg(test)]
    if tests::NAMED_ONLY.get() {
        return Ok(None);
    }
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    match openat(CWD, folder, flags, Mode::from_raw_mode(readers.mode())) {
        // A name is given by way of /proc.
        Ok(file) => Ok(Some(File::from(file)).filter(|file| descriptor_path(file).exists())),
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOSYS) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(target_os = "linux")]
fn descriptor_path(file: &File) -> PathBuf {
    use std::os::fd::AsRawFd as _;
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

/// Gives a file without a name its name.
#[cfg(target_os = "linux")]
fn name(file: &File, path: &Path, existing: Existing) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, linkat};
    use rustix::io::Errno;
    let link = |to: &Path| linkat(CWD, descriptor_path(file), CWD, to, AtFlags::SYMLINK_FOLLOW);
    match link(path) {
        Err(Errno::EXIST) if existing == Existing::Replace => {}
        done => return Ok(done?),
    }
    // `linkat` replaces nothing: the file gets a name of its own, and is renamed. The lock keeps a
    // sweep from deleting it in between.
    match file.try_lock() {
        Ok(()) => {}
        // Without locks nothing is swept.
        Err(fs::TryLockError::Error(error)) if means_no_locks(&error) => {}
        Err(error) => return Err(error.into()),
    }
    let part = folder_of(path).join(part_name());
    link(&part)?;
    crash_point();
    fs::rename(&part, path).inspect_err(|_| drop(fs::remove_file(&part)))
}

/// Whether a lock failed because the file system has none.
pub fn means_no_locks(error: &io::Error) -> bool {
    /// `ENOLCK` of Linux: a network drive without a lock server.
    const NO_LOCK_SERVER: i32 = 37;
    let no_server = cfg!(target_os = "linux") && error.raw_os_error() == Some(NO_LOCK_SERVER);
    no_server || error.kind() == ErrorKind::Unsupported
}

const PREFIX: &str = ".godwit-";
const SUFFIX: &str = ".part";
/// Letters and digits before the suffix: eight that stand for this computer, and random ones.
const HOST: usize = 8;
const RANDOM: usize = 16;
/// Parts of other computers are swept when they are as old as this: some network drives show locks
/// only to the computer that has them.
const FOREIGN_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// Eight digits that stand for this computer.
fn host() -> String {
    #[cfg(unix)]
    let name = rustix::system::uname().nodename().to_bytes().to_vec();
    #[cfg(not(unix))]
    let name = std::env::var("COMPUTERNAME")
        .unwrap_or_default()
        .into_bytes();
    blake3::hash(&name).to_hex()[..HOST].to_owned()
}

#[cfg(target_os = "linux")]
fn part_name() -> String {
    use std::hash::{BuildHasher as _, RandomState};
    // Two random keys for each value: as unlikely to be there already as any name.
    let random = RandomState::new().hash_one(std::process::id());
    format!("{PREFIX}{}{random:0RANDOM$x}{SUFFIX}", host())
}

/// A file under a name of its own, locked while this process writes it.
fn named(folder: &Path, readers: Readers) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    let prefix = format!("{PREFIX}{}", host());
    builder.prefix(&prefix).suffix(SUFFIX).rand_bytes(RANDOM);
    #[cfg(unix)]
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(readers.mode());
    #[cfg(unix)]
    builder.permissions(permissions);
    #[cfg(not(unix))]
    let _ = readers;
    loop {
        let file = builder.tempfile_in(folder)?;
        match file.as_file().try_lock() {
            // A sweep may have come before the lock.
            Ok(()) if is_at(file.as_file(), file.path()) => return Ok(file),
            Ok(()) | Err(fs::TryLockError::WouldBlock) => {}
            Err(fs::TryLockError::Error(error)) if means_no_locks(&error) => return Ok(file),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whose part a file is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Of this computer: a lock tells whether a process writes it.
    Own,
    /// Of another one, or of an earlier version of Godwit, which locked nothing.
    Foreign,
}

fn part(name: &str) -> Option<Part> {
    /// The name that earlier versions used.
    const RANDOM_BEFORE: usize = 6;
    let letters = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let fits = matches!(letters.len(), RANDOM_BEFORE) || letters.len() == HOST + RANDOM;
    if !fits || !letters.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    Some(if letters.len() > RANDOM && letters.starts_with(&host()) {
        Part::Own
    } else {
        Part::Foreign
    })
}

/// Deletes what processes that are gone left unfinished in a folder. What a living process writes
/// is locked, and stays; so does what belongs to another user.
pub fn sweep(folder: &Path) {
    // A folder that can't be read has nothing that is known to be left over.
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let Some(part) = entry.file_name().to_str().and_then(part) else {
            continue;
        };
        let path = entry.path();
        let Ok((file, metadata)) = open_regular(&path, Links::Refuse) else {
            continue;
        };
        let age = metadata
            .modified()
            .ok()
            .and_then(|time| time.elapsed().ok());
        let is_left = part == Part::Own || age.is_some_and(|age| age > FOREIGN_AGE);
        if is_left
            && super::private::check_owner(&path, &metadata).is_ok()
            && file.try_lock().is_ok()
        {
            tracing::debug!(
                "{}: left over by a process that is gone; deleted",
                path.display()
            );
            // Another process may sweep too.
            let _ = fs::remove_file(&path);
        }
    }
}
