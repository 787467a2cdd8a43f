//! The hub's cache on the disk, in the layout that all of the hub's tools share: `models--OWNER--REPO` with `blobs` by their
//! hash, `snapshots` of commits whose files are links to blobs, and `refs`, which name commits.

use std::fs::{self, File as Handle, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use hf_hub::{Cache, CacheRepo, Repo, RepoType};

use super::choose::{Candidate, File, candidates, choose};
use super::error::HubError;
use super::name::{Name, is_hex};
use super::shards::is_whole;

/// How often a lock that another process holds is tried.
const POLL: Duration = Duration::from_millis(200);

/// Folders within folders that are looked into.
const DEEPEST: usize = 16;

/// One repository in the cache, whether it is there or not.
pub struct Cached {
    repo: CacheRepo,
    revision: String,
    folder: PathBuf,
    locks: PathBuf,
}

impl Cached {
    /// The place of a model's repository.
    pub fn new(cache: &Path, name: &Name) -> Self {
        let repo = Repo::with_revision(name.repo.clone(), RepoType::Model, name.revision().into());
        let (folder, cache) = (repo.folder_name(), Cache::new(cache.into()));
        Self {
            folder: cache.path().join(&folder),
            locks: cache.path().join(".locks").join(folder),
            revision: name.revision().into(),
            repo: cache.repo(repo),
        }
    }

    /// The repository's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of the locks of its blobs.
    pub fn locks(&self) -> &Path {
        &self.locks
    }

    /// The commit that the revision stands for, as far as the cache knows.
    pub fn commit(&self) -> Option<String> {
        if is_hex(&self.revision, 40) {
            return Some(self.revision.clone());
        }
        let text = fs::read_to_string(self.folder.join("refs").join(&self.revision)).ok()?;
        Some(text.trim().to_owned()).filter(|commit| is_hex(commit, 40))
    }

    /// Remembers which commit the revision stands for.
    pub fn set_commit(&self, commit: &str) -> Result<(), HubError> {
        if is_hex(&self.revision, 40) {
            return Ok(());
        }
        self.repo.create_ref(commit).map_err(HubError::io("write the reference in", &self.folder))
    }

    /// All commits of which something is there.
    pub fn commits(&self) -> Vec<String> {
        commits(entries(&self.folder.join("snapshots")))
    }

    /// [`Self::commits`], for those who delete what belongs to no commit.
    ///
    /// # Errors
    /// The folder can't be read: then nothing is known of its commits.
    pub fn listed_commits(&self) -> Result<Vec<String>, HubError> {
        Ok(commits(listed(&self.folder.join("snapshots"))?))
    }

    /// The folder of a commit's files.
    pub fn snapshot(&self, commit: &str) -> PathBuf {
        self.repo.pointer_path(commit)
    }

    /// The models of a commit that are there, whole.
    pub fn models(&self, commit: &str) -> Vec<Candidate> {
        let snapshot = self.snapshot(commit);
        let mut files = Vec::new();
        collect(&snapshot, "", 0, &mut files);
        let mut all = candidates(&files);
        all.retain(|candidate| !candidate.is_folder() || is_whole(&snapshot, candidate));
        all
    }

    /// The model that a name means, if it is there.
    ///
    /// # Errors
    /// The name means more than one of those that are there.
    pub fn find(&self, name: &Name) -> Result<Option<PathBuf>, HubError> {
        let Some(commit) = self.commit() else { return Ok(None) };
        match choose(&name.repo, name.quant.as_deref(), &self.models(&commit)) {
            Ok(model) => Ok(Some(self.path(&commit, model))),
            Err(error @ HubError::Ambiguous { .. }) => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// What is to be opened of a model.
    pub fn path(&self, commit: &str, model: &Candidate) -> PathBuf {
        let snapshot = self.snapshot(commit);
        if model.is_folder() { snapshot } else { snapshot.join(model.path()) }
    }

    /// Where a blob is, or will be.
    pub fn blob(&self, hash: &str) -> PathBuf {
        self.folder.join("blobs").join(hash)
    }

    /// Where it is until it is whole.
    pub fn part(&self, hash: &str) -> PathBuf {
        self.folder.join("blobs").join(format!("{hash}.incomplete"))
    }

    /// Whether a blob is there in its full length.
    pub fn has(&self, hash: &str, bytes: u64) -> bool {
        fs::metadata(self.blob(hash)).is_ok_and(|blob| blob.is_file() && blob.len() == bytes)
    }

    /// Puts a blob in its place in a snapshot.
    pub fn link(&self, commit: &str, path: &str, hash: &str) -> Result<(), HubError> {
        let link = self.snapshot(commit).join(path);
        let folder = link.parent().unwrap_or(&self.folder);
        fs::create_dir_all(folder).map_err(HubError::io("make the folder", folder))?;
        // Relative, so that the cache can be moved: up from the file's folder, from the commit and from `snapshots`.
        let up = path.split('/').count() + 1;
        let target: PathBuf = std::iter::repeat_n("..", up).chain(["blobs", hash]).collect();
        if fs::read_link(&link).is_ok_and(|there| there == target) {
            return Ok(());
        }
        if fs::symlink_metadata(&link).is_ok() {
            fs::remove_file(&link).map_err(HubError::io("replace", &link))?;
        }
        // Windows lets few accounts make symbolic links.
        let blob = self.blob(hash);
        symlink(&target, &link)
            .or_else(|_| fs::hard_link(&blob, &link))
            .or_else(|_| fs::copy(&blob, &link).map(drop))
            .map_err(HubError::io("link", &link))
    }

    /// Waits until no other process downloads this blob. The lock ends with the value, or with the process.
    pub fn lock(&self, hash: &str, stopped: &dyn Fn() -> bool) -> Result<Handle, HubError> {
        let path = self.locks.join(format!("{hash}.lock"));
        for folder in [&self.locks, &self.folder.join("blobs")] {
            fs::create_dir_all(folder).map_err(HubError::io("make the folder", folder))?;
        }
        let file = Handle::options().create(true).write(true).truncate(false).open(&path);
        let file = file.map_err(HubError::io("open", &path))?;
        let mut said = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if stopped() => return Err(HubError::Stopped),
                Err(TryLockError::WouldBlock) => {
                    if !std::mem::replace(&mut said, true) {
                        tracing::info!("another process downloads {hash}: waiting for it");
                    }
                    thread::sleep(POLL);
                }
                // Some network drives know no locks; two downloads at once end in a wrong checksum at worst.
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => return Ok(file),
                Err(TryLockError::Error(error)) => return Err(HubError::io("lock", &path)(error)),
            }
        }
    }
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(windows)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target, link)
}

fn commits(snapshots: Vec<fs::DirEntry>) -> Vec<String> {
    let names = snapshots.into_iter().filter_map(|entry| entry.file_name().into_string().ok());
    let mut commits: Vec<String> = names.filter(|name| is_hex(name, 40)).collect();
    commits.sort();
    commits
}

/// What is in a folder; nothing where there is none.
///
/// # Errors
/// The folder can't be read.
pub fn listed(folder: &Path) -> Result<Vec<fs::DirEntry>, HubError> {
    match fs::read_dir(folder).and_then(Iterator::collect::<io::Result<_>>) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries.map_err(HubError::io("read", folder)),
    }
}

/// What is in a folder; nothing where it can't be read.
pub fn entries(folder: &Path) -> Vec<fs::DirEntry> {
    fs::read_dir(folder).map(|entries| entries.filter_map(Result::ok).collect()).unwrap_or_default()
}

/// The files below a folder, with links followed to files but not to folders. Broken links are no files.
fn collect(folder: &Path, prefix: &str, depth: usize, files: &mut Vec<File>) {
    for entry in entries(folder) {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if depth < DEEPEST {
                collect(&entry.path(), &path, depth + 1, files);
            }
        } else if let Ok(data) = fs::metadata(entry.path())
            && data.is_file()
        {
            files.push(File { path, bytes: data.len() });
        }
    }
}
