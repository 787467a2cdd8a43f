//! `godwit rm`: models off the disk.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;

use super::cache::{Cached, entries, is_left_link, listed, read_reference};
use super::choose::{Candidate, choose};
use super::error::HubError;
use super::name::Name;
use super::size::bytes;

/// Removes a repository, or one of its models. Returns the bytes that were freed.
///
/// # Errors
/// It is not there, more than one is meant, or the disk refuses.
pub fn remove(name: &Name, cache: &Path) -> Result<u64, HubError> {
    let cached = Cached::new(cache, name);
    let folder = cached.folder();
    if !folder.is_dir() {
        return Err(HubError::NotHere(name.to_string()));
    }
    // No other process downloads or uses them meanwhile.
    let _locks = cached.lock_all()?;
    let before = size(folder);
    remove_left_links(&folder.join("snapshots"))?;
    if name.quant.is_some() || name.revision.is_some() {
        remove_files(name, &cached)?;
        prune(&cached)?;
    }
    let nothing_left = cached.listed_commits()?.is_empty();
    if nothing_left || name.quant.is_none() && name.revision.is_none() {
        remove_folder(folder)?;
        // Windows removes no files that are open: these are empty, and are used again.
        let _ = remove_folder(cached.locks());
        return Ok(before);
    }
    Ok(before.saturating_sub(size(folder)))
}

/// Removes links that killed processes left below a folder before they were in their places.
fn remove_left_links(folder: &Path) -> Result<(), HubError> {
    for entry in entries(folder) {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_left_links(&entry.path())?;
        } else if is_left_link(&entry.file_name().to_string_lossy()) {
            remove_file(&entry.path())?;
        }
    }
    Ok(())
}

/// Removes the links of a model, or of a whole commit where no QUANT is named.
fn remove_files(name: &Name, cached: &Cached) -> Result<(), HubError> {
    let commits = match name.revision {
        Some(_) => cached
            .commit()
            .filter(|commit| cached.snapshot(commit).is_dir())
            .into_iter()
            .collect(),
        None => cached.commits(),
    };
    let (mut removed, mut others) = (false, Vec::<Candidate>::new());
    for commit in commits {
        let (snapshot, models) = (cached.snapshot(&commit), cached.models(&commit));
        let Some(quant) = name.quant.as_deref() else {
            remove_folder(&snapshot)?;
            removed = true;
            continue;
        };
        match choose(&name.repo, Some(quant), &models) {
            Ok(model) => {
                for file in &model.files {
                    remove_file(&snapshot.join(&file.path))?;
                }
                remove_empty(&snapshot);
                removed = true;
            }
            Err(error @ HubError::Ambiguous { .. }) => return Err(error),
            Err(_) => others.extend(models),
        }
    }
    if removed {
        return Ok(());
    }
    others.sort_by(|a, b| a.path().cmp(b.path()));
    others.dedup_by(|a, b| a.path() == b.path());
    match choose(&name.repo, name.quant.as_deref(), &others) {
        Err(error @ HubError::NoQuant { .. }) => Err(error),
        _ if !cached.parts().is_empty() => Err(HubError::OnlyParts {
            what: name.to_string(),
            repo: name.repo.clone(),
            bytes: bytes(cached.parts().iter().map(|(_, bytes)| bytes).sum()),
        }),
        _ => Err(HubError::NotHere(name.to_string())),
    }
}

/// Removes blobs that no snapshot links to, and references to commits that are gone. Parts of
/// downloads stay: nothing says whose they are.
fn prune(cached: &Cached) -> Result<(), HubError> {
    let mut used = HashSet::new();
    links(&cached.folder().join("snapshots"), &mut used)?;
    for blob in entries(&cached.folder().join("blobs")) {
        let name = blob.file_name().to_string_lossy().into_owned();
        if !used.contains(&name) && !name.ends_with(".incomplete") {
            remove_file(&blob.path())?;
        }
    }
    prune_refs(&cached.folder().join("refs"), &cached.listed_commits()?)
}

fn prune_refs(folder: &Path, commits: &[String]) -> Result<(), HubError> {
    for entry in entries(folder) {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            prune_refs(&path, commits)?;
            continue;
        }
        // A reference that can't be read may be a good one.
        let commit = read_reference(&path).map_err(HubError::io("read", &path))?;
        if !commits.iter().any(|there| there == commit.trim()) {
            remove_file(&path)?;
        }
    }
    Ok(())
}

/// The names of the blobs that links below a folder lead to: all of them, or an error, for what is
/// not among them goes.
fn links(folder: &Path, used: &mut HashSet<String>) -> Result<(), HubError> {
    for entry in listed(folder)? {
        let path = entry.path();
        let kind = entry.file_type().map_err(HubError::io("look at", &path))?;
        if kind.is_dir() {
            links(&path, used)?;
        } else if kind.is_symlink() {
            let target = fs::read_link(&path).map_err(HubError::io("follow", &path))?;
            used.extend(
                target
                    .file_name()
                    .map(|name| name.to_string_lossy().into_owned()),
            );
        }
    }
    Ok(())
}

/// The bytes of the files below a folder, links not followed.
fn size(folder: &Path) -> u64 {
    let each = |entry: fs::DirEntry| match entry.metadata() {
        Ok(data) if data.is_dir() => size(&entry.path()),
        Ok(data) if data.is_file() => data.len(),
        _ => 0,
    };
    entries(folder).into_iter().map(each).sum()
}

/// Removes folders that hold nothing, this one too.
fn remove_empty(folder: &Path) {
    for entry in entries(folder)
        .into_iter()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
    {
        remove_empty(&entry.path());
    }
    // It fails where something is left, as it should.
    let _ = fs::remove_dir(folder);
}

/// Removes a file. One that is gone already is fine.
fn remove_file(path: &Path) -> Result<(), HubError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(HubError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

fn remove_folder(folder: &Path) -> Result<(), HubError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(HubError::io("remove", folder)(error))
        }
        _ => Ok(()),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_cant_be_read_is_not_empty() {
        let folder = tempfile::tempdir().expect("a folder");
        let (snapshots, mut used) = (folder.path().join("snapshots"), HashSet::new());
        assert!(links(&snapshots, &mut used).is_ok() && used.is_empty());
        fs::create_dir_all(snapshots.join("1")).expect("a folder");
        std::os::unix::fs::symlink("../../blobs/abc", snapshots.join("1/model.gguf"))
            .expect("a link");
        assert!(links(&snapshots, &mut used).is_ok() && used.contains("abc"));
        // A loop, which no one can read.
        fs::remove_dir_all(&snapshots).expect("removed");
        std::os::unix::fs::symlink("snapshots", &snapshots).expect("a link");
        assert!(matches!(
            links(&snapshots, &mut used),
            Err(HubError::Io { .. })
        ));
    }
}
