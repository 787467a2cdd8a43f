//! What is in the cache's folders.

use std::io::Read as _;
use std::path::Path;
use std::{fs, io};

use godwit::low_level::io::open::{Links, open_regular};

use super::{DEEPEST, NEW_LINK};
use crate::choose::File;
use crate::error::HubError;
use crate::name::is_hex;

/// The commit in a file of `refs`.
pub fn read_reference(path: &Path) -> io::Result<String> {
    /// A commit has 40 digits.
    const MOST: u64 = 1 << 10;
    let (file, _) = open_regular(path, Links::Follow)?;
    let mut text = String::new();
    file.take(MOST).read_to_string(&mut text)?;
    Ok(text)
}

/// Whether a file is a link that a killed process left before it was in its place.
pub fn is_left_link(name: &str) -> bool {
    name.strip_prefix(NEW_LINK)
        .is_some_and(|hash| is_hex(hash, 40) || is_hex(hash, 64))
}

pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(unix)]
pub(super) fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(windows)]
pub(super) fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target, link)
}

pub(super) fn commits(snapshots: Vec<fs::DirEntry>) -> Vec<String> {
    let names = snapshots
        .into_iter()
        .filter_map(|entry| entry.file_name().into_string().ok());
    let mut commits: Vec<String> = names.filter(|name| is_hex(name, 40)).collect();
    commits.sort();
    commits
}

/// The entries of a folder; empty where there is none.
///
/// # Errors
/// The folder can't be read.
pub fn listed(folder: &Path) -> Result<Vec<fs::DirEntry>, HubError> {
    match fs::read_dir(folder).and_then(Iterator::collect::<io::Result<_>>) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries.map_err(HubError::io("read", folder)),
    }
}

/// The entries of a folder; empty where it can't be read.
pub fn entries(folder: &Path) -> Vec<fs::DirEntry> {
    fs::read_dir(folder)
        .map(|entries| entries.filter_map(Result::ok).collect())
        .unwrap_or_default()
}

/// The files below a folder, with links followed to files but not to folders. Broken links are no
/// files.
pub(super) fn collect(folder: &Path, prefix: &str, depth: usize, files: &mut Vec<File>) {
    for entry in entries(folder) {
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let path = if prefix.is_empty() {
            name
        } else {
            format!("{prefix}/{name}")
        };
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if depth < DEEPEST {
                collect(&entry.path(), &path, depth + 1, files);
            }
        } else if let Ok(data) = fs::metadata(entry.path())
            && data.is_file()
        {
            files.push(File {
                path,
                bytes: data.len(),
            });
        }
    }
}
