//! The hub's cache on the disk, in the layout that all of the hub's tools share:
//! `models--OWNER--REPO` with `blobs` by their hash, `snapshots` of commits whose files are links
//! to blobs, and `refs`, which name commits.

mod entries;

use std::fs::{self, File as Handle, TryLockError};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use godwit::low_level::io::durable::{self, Readers};
use godwit::low_level::io::private::{check_folder, make_private_folder};
use hf_hub::{Cache, CacheRepo, Repo, RepoType};

use super::choose::{Candidate, File, candidates, choose, is_shard};
use super::crash_point::crash_point;
use super::error::HubError;
use super::name::{Name, is_hex};
use super::shards::is_whole;
use entries::{collect, commits, remove_if_there, symlink};

pub use entries::{entries, is_left_link, listed, read_reference};

/// How often a lock that another process holds is tried.
const POLL: Duration = Duration::from_millis(200);

/// The file whose lock is held, shared, by those who use a repository, and alone by those who
/// remove from it.
const IN_USE: &str = "godwit.lock";

/// The ending of a file's name until it is whole.
const INCOMPLETE: &str = ".incomplete";

/// What the name of a link begins with until it replaces another file. The hash of its blob
/// follows.
const NEW_LINK: &str = ".godwit-link-";

/// Folders within folders that are looked into.
const DEEPEST: usize = 16;

/// One repository in the cache, whether it is there or not.
pub struct Cached {
    cache: PathBuf,
    repo: CacheRepo,
    revision: String,
    folder: PathBuf,
    locks: PathBuf,
}

impl Cached {
    /// The place of a model's repository.
    pub fn new(cache: &Path, name: &Name) -> Self {
        let repo = Repo::with_revision(name.repo.clone(), RepoType::Model, name.revision().into());
        let (folder, root, cache) = (repo.folder_name(), cache, Cache::new(cache.into()));
        Self {
            cache: root.into(),
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

    /// Makes the repository's folder. A cache that is made with it is its owner's alone; in one
    /// that is there, other users may read what its owner lets them.
    ///
    /// # Errors
    /// A folder can't be made, or belongs to another user, who could change what is downloaded.
    pub fn make_folder(&self) -> Result<(), HubError> {
        make_private_folder(&self.cache)?;
        check_folder(&self.folder)?;
        fs::create_dir_all(&self.folder).map_err(HubError::io("make the folder", &self.folder))
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
        let text = read_reference(&self.folder.join("refs").join(&self.revision)).ok()?;
        Some(text.trim().to_owned()).filter(|commit| is_hex(commit, 40))
    }

    /// Remembers which commit the revision stands for.
    pub fn set_commit(&self, commit: &str) -> Result<(), HubError> {
        if is_hex(&self.revision, 40) {
            return Ok(());
        }
        let path = self.folder.join("refs").join(&self.revision);
        let folder = durable::folder_of(&path);
        fs::create_dir_all(folder).map_err(HubError::io("make the folder", folder))?;
        crash_point();
        let written = durable::write_bytes(&path, Readers::Umask, commit.trim().as_bytes());
        crash_point();
        written.map_err(HubError::io("write the reference", &path))
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
        let Some(commit) = self.commit() else {
            return Ok(None);
        };
        match choose(&name.repo, name.quant.as_deref(), &self.models(&commit)) {
            Ok(model) => Ok(Some(self.path(&commit, model))),
            Err(error @ HubError::Ambiguous { .. }) => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// The path to open for a model.
    pub fn path(&self, commit: &str, model: &Candidate) -> PathBuf {
        let snapshot = self.snapshot(commit);
        if model.is_folder() {
            snapshot
        } else {
            snapshot.join(model.path())
        }
    }

    /// Where a blob is, or will be.
    pub fn blob(&self, hash: &str) -> PathBuf {
        self.folder.join("blobs").join(hash)
    }

    /// Where it is until it is whole.
    pub fn part(&self, hash: &str) -> PathBuf {
        self.folder
            .join("blobs")
            .join(format!("{hash}{INCOMPLETE}"))
    }

    /// Whether a blob is there in its full length.
    pub fn has(&self, hash: &str, bytes: u64) -> bool {
        fs::metadata(self.blob(hash)).is_ok_and(|blob| blob.is_file() && blob.len() == bytes)
    }

    /// Puts a blob in its place in a snapshot. The caller holds the lock of the blob.
    pub fn link(&self, commit: &str, path: &str, hash: &str) -> Result<(), HubError> {
        let link = self.snapshot(commit).join(path);
        let folder = link.parent().unwrap_or(&self.folder);
        fs::create_dir_all(folder).map_err(HubError::io("make the folder", folder))?;
        crash_point();
        // A process that was killed may have left it.
        let new = folder.join(format!("{NEW_LINK}{hash}"));
        remove_if_there(&new).map_err(HubError::io("remove", &new))?;
        // Relative, so that the cache can be moved: up from the file's folder, from the commit and
        // from `snapshots`.
        let up = path.split('/').count() + 1;
        let target: PathBuf = std::iter::repeat_n("..", up)
            .chain(["blobs", hash])
            .collect();
        if fs::read_link(&link).is_ok_and(|there| there == target) {
            return Ok(());
        }
        // What is there is another commit's, or of a tool that makes copies. It is replaced by a
        // rename, so that there is a file at every moment.
        let blob = self.blob(hash);
        symlink(&target, &new)
            // Windows lets few accounts make symbolic links, and some file systems have none.
            .or_else(|_| fs::hard_link(&blob, &new))
            .and_then(|()| {
                crash_point();
                fs::rename(&new, &link)?;
                // A rename of one name of a file to another of its names does nothing.
                remove_if_there(&new)
            })
            .or_else(|_| {
                remove_if_there(&new)?;
                durable::copy(&blob, &link, Readers::Umask)
            })
            .and_then(|()| {
                crash_point();
                durable::sync_folder(folder)
            })
            .map_err(HubError::io("link", &link))
    }

    /// Files of downloads that were not completed, with their lengths: parts of files, and whole
    /// files of models that lack others.
    pub fn parts(&self) -> Vec<(PathBuf, u64)> {
        let mut parts = self.parts_of_files();
        for commit in self.commits() {
            let (snapshot, models) = (self.snapshot(&commit), self.models(&commit));
            let mut files = Vec::new();
            collect(&snapshot, "", 0, &mut files);
            let is_used = |file: &File| models.iter().any(|model| model.files.contains(file));
            let lone = files
                .iter()
                .filter(|file| is_shard(&file.path) && !is_used(file));
            parts.extend(lone.map(|file| (snapshot.join(&file.path), file.bytes)));
        }
        parts
    }

    fn parts_of_files(&self) -> Vec<(PathBuf, u64)> {
        let parts = entries(&self.folder.join("blobs")).into_iter();
        let parts = parts.filter(|entry| entry.file_name().to_string_lossy().ends_with(INCOMPLETE));
        parts
            .map(|entry| (entry.path(), entry.metadata().map_or(0, |part| part.len())))
            .collect()
    }

    /// Holds the repository's files, together with others who use them, so that nobody removes
    /// them. It ends with the value, or with the process. None in a cache that can't be written to.
    ///
    /// # Errors
    /// Somebody stopped the wait for a process that removes them.
    pub fn hold(&self, stopped: &dyn Fn() -> bool) -> Result<Option<Handle>, HubError> {
        let wait = || match stopped() {
            true => Err(HubError::Stopped),
            false => Ok(()),
        };
        match self.lock_file(&self.locks.join(IN_USE), Handle::try_lock_shared, &wait) {
            Err(HubError::Io { .. }) => Ok(None),
            held => held.map(Some),
        }
    }

    /// Locks the repository and all of its blobs, to remove them.
    ///
    /// # Errors
    /// Another process has one of the locks.
    pub fn lock_all(&self) -> Result<Vec<Handle>, HubError> {
        let taken = || Err(HubError::InUse(self.repo_name()));
        let mut locks = vec![self.lock_file(&self.locks.join(IN_USE), Handle::try_lock, &taken)?];
        for entry in entries(&self.locks) {
            if entry.file_name() != IN_USE && entry.file_name().to_string_lossy().ends_with(".lock")
            {
                locks.push(self.lock_file(&entry.path(), Handle::try_lock, &taken)?);
            }
        }
        Ok(locks)
    }

    fn repo_name(&self) -> String {
        let folder = self
            .folder
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        folder.trim_start_matches("models--").replacen("--", "/", 1)
    }

    /// Waits until no other process downloads this blob. The lock ends with the value, or with the
    /// process.
    pub fn lock(&self, hash: &str, stopped: &dyn Fn() -> bool) -> Result<Handle, HubError> {
        let blobs = self.folder.join("blobs");
        fs::create_dir_all(&blobs).map_err(HubError::io("make the folder", &blobs))?;
        let said = std::cell::Cell::new(false);
        let wait = || {
            if stopped() {
                return Err(HubError::Stopped);
            }
            if !said.replace(true) {
                tracing::warn!("another process downloads {hash}: waiting for it to end");
            }
            Ok(())
        };
        self.lock_file(
            &self.locks.join(format!("{hash}.lock")),
            Handle::try_lock,
            &wait,
        )
    }

    /// Locks a file, which is made where there is none; `wait` is called while others have it, and
    /// may end the wait.
    fn lock_file(
        &self,
        path: &Path,
        try_lock: fn(&Handle) -> Result<(), TryLockError>,
        wait: &dyn Fn() -> Result<(), HubError>,
    ) -> Result<Handle, HubError> {
        let io = |doing| HubError::io(doing, path);
        loop {
            fs::create_dir_all(&self.locks)
                .map_err(HubError::io("make the folder", &self.locks))?;
            let file = durable::open_lock(path, Readers::Umask).map_err(io("open"))?;
            match try_lock(&file) {
                // Whoever removes the files removes the locks too: a lock without a name locks
                // nothing.
                Ok(()) if !durable::is_at(&file, path) => {}
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => {
                    wait()?;
                    thread::sleep(POLL);
                }
                // Some network drives know no locks; two downloads at once end in a wrong checksum
                // at worst.
                Err(TryLockError::Error(error)) if durable::means_no_locks(&error) => {
                    return Ok(file);
                }
                Err(TryLockError::Error(error)) => return Err(io("lock")(error)),
            }
        }
    }
}
