//! The models that are in the cache.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::cache::{Cached, entries, read_reference};
use super::choose::Candidate;
use super::name::{MAIN, Name};

/// A model in the cache, whole.
pub struct Downloaded {
    /// The name that means it.
    pub name: Name,
    /// Its files.
    pub model: Candidate,
    /// The path to open.
    pub path: PathBuf,
    /// The commit of the repository.
    pub commit: String,
    /// When it was downloaded.
    pub modified: SystemTime,
}

/// The models in the cache, by name.
pub fn downloaded(cache: &Path) -> Vec<Downloaded> {
    let mut all: Vec<Downloaded> = repositories(cache)
        .iter()
        .flat_map(|repo| models(cache, repo))
        .collect();
    all.sort_by_key(|entry| entry.name.to_string());
    all
}

/// The repositories of models in the cache.
pub fn repositories(cache: &Path) -> Vec<Name> {
    let name = |folder: String| {
        let (owner, repo) = folder.strip_prefix("models--")?.split_once("--")?;
        Name::parse(&format!("{owner}/{repo}")).ok()
    };
    entries(cache)
        .into_iter()
        .filter_map(|entry| name(entry.file_name().into_string().ok()?))
        .collect()
}

/// The models of a repository that are here, whole, with the names that mean each of them.
fn models(cache: &Path, repo: &Name) -> Vec<Downloaded> {
    let cached = Cached::new(cache, repo);
    let mut revisions = HashMap::new();
    references(&cached.folder().join("refs"), "", &mut revisions);
    let mut all = Vec::new();
    for commit in cached.commits() {
        let revision = match revisions.get(&commit) {
            Some(revision) if revision == MAIN => None,
            Some(revision) => Some(revision.clone()),
            None => Some(commit.clone()),
        };
        let models = cached.models(&commit);
        for model in &models {
            let same = models
                .iter()
                .filter(|other| other.label == model.label)
                .count();
            let quant = if same == 1 {
                model.handle()
            } else {
                model.path()
            };
            let alone = model.is_folder() && models.len() == 1;
            let name = Name {
                repo: repo.repo.clone(),
                quant: Some(quant.to_owned()).filter(|_| !alone),
                revision: revision.clone(),
            };
            let first = cached.snapshot(&commit).join(model.path());
            let modified = fs::metadata(first)
                .and_then(|data| data.modified())
                .unwrap_or(UNIX_EPOCH);
            let path = cached.path(&commit, model);
            all.push(Downloaded {
                name,
                path,
                model: model.clone(),
                commit: commit.clone(),
                modified,
            });
        }
    }
    all
}

/// Which commit each reference names; `main` where more than one does.
fn references(folder: &Path, prefix: &str, revisions: &mut HashMap<String, String>) {
    for entry in entries(folder) {
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let name = if prefix.is_empty() {
            name
        } else {
            format!("{prefix}/{name}")
        };
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            references(&entry.path(), &name, revisions);
        } else if let Ok(commit) = read_reference(&entry.path()) {
            let known = revisions
                .entry(commit.trim().to_owned())
                .or_insert_with(|| name.clone());
            if name == MAIN {
                *known = name;
            }
        }
    }
}
