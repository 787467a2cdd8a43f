//! Files under names of their own while they are written, and what processes left of them.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use tempfile::NamedTempFile;

use super::{is_at, means_no_locks};
use crate::io::open::{Links, Readers, open_regular};

const PREFIX: &str = ".godwit-";
const SUFFIX: &str = ".part";
/// Letters and digits before the suffix: eight that stand for this computer, and random ones.
const HOST: usize = 8;
const RANDOM: usize = 16;
/// Parts of other computers are swept when they are as old as this: some network drives show locks
/// only to the computer that has them.
pub(super) const FOREIGN_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// Eight digits that stand for this computer.
pub(super) fn host() -> String {
    #[cfg(unix)]
    let name = rustix::system::uname().nodename().to_bytes().to_vec();
    #[cfg(not(unix))]
    let name = std::env::var("COMPUTERNAME")
        .unwrap_or_default()
        .into_bytes();
    blake3::hash(&name).to_hex()[..HOST].to_owned()
}

#[cfg(target_os = "linux")]
pub(super) fn part_name() -> String {
    use std::hash::{BuildHasher as _, RandomState};
    // Two random keys for each value: as unlikely to be there already as any name.
    let random = RandomState::new().hash_one(std::process::id());
    format!("{PREFIX}{}{random:0RANDOM$x}{SUFFIX}", host())
}

/// A file under a name of its own, locked while this process writes it.
pub(super) fn named(folder: &Path, readers: Readers) -> io::Result<NamedTempFile> {
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
pub(super) enum Part {
    /// Of this computer: a lock tells whether a process writes it.
    Own,
    /// Of another one, or of an earlier version of Godwit, which locked nothing.
    Foreign,
}

pub(super) fn part(name: &str) -> Option<Part> {
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
            && crate::io::private::check_owner(&path, &metadata).is_ok()
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
