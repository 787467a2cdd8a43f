//! A file in the making: without a name where the file system has that, then given one.

#[cfg(unix)]
use std::fs;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

#[cfg(target_os = "linux")]
use super::means_no_locks;
#[cfg(target_os = "linux")]
use super::parts::part_name;
use super::parts::{named, sweep};
use super::{Existing, folder_of, sync_folder};
use crate::io::crash_point;
use crate::io::open::Readers;

/// A file in the making.
pub(super) struct NewFile {
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
    pub(super) fn create(path: &Path, readers: Readers) -> io::Result<Self> {
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

    pub(super) fn file_mut(&mut self) -> &mut File {
        match &mut self.file {
            #[cfg(target_os = "linux")]
            Making::Unnamed(file) => file,
            Making::Named(file) => file.as_file_mut(),
        }
    }

    /// Syncs the file, gives it its name, and syncs the folder.
    pub(super) fn commit(mut self, existing: Existing) -> io::Result<()> {
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
pub(super) fn unnamed(folder: &Path, readers: Readers) -> io::Result<Option<File>> {
    use rustix::fs::{CWD, Mode, OFlags, openat};
    use rustix::io::Errno;
    // A test takes the way of other file systems with this.
    #[cfg(test)]
    if super::tests::NAMED_ONLY.get() {
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
