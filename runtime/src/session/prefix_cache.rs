//! Prompts on disk: the KV caches of long prompts, in blocks, so that a prompt that begins as an
//! earlier one did goes on where that one's beginning ends. An interrupted prefill leaves its
//! finished blocks here too.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use super::{Reuse, Session};
use crate::error::Error;
use crate::gpu::GpuError;
use crate::io::FileError;
use crate::io::durable::write_atomically;
use crate::io::evict::{make_room, touch};
use crate::io::open::open_private;
use crate::io::private::{check_folder, make_private_folder};
use crate::io::warn::{warn_of, warn_once};
use crate::kv_cache::SnapshotError;
use crate::progress::{OnProgress, Progress, unwatched};

/// Tokens of a block. Shorter prompts leave nothing.
pub const BLOCK: usize = 4096;

const EXTENSION: &str = "godwit-kv";

/// A folder of blocks. Each is a snapshot that is named by the hash of all tokens to its end.
#[derive(Clone, Debug)]
pub struct PrefixCache {
    folder: PathBuf,
    most_bytes: u64,
}

/// The result of reading a block.
enum Block {
    Loaded(File),
    Missing,
    /// Another block may take its place: it is damaged, or not what its name says.
    Wrong,
    /// It may be good.
    Unreadable,
}

/// Whether a file has a block's name: 64 digits of a hash.
fn is_block(path: &Path) -> bool {
    let stem = path
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or_default();
    let named = stem.len() == 64 && stem.bytes().all(|byte| byte.is_ascii_hexdigit());
    named
        && path
            .extension()
            .is_some_and(|extension| extension == EXTENSION)
}

impl PrefixCache {
    /// A cache in this folder, which is made when the first block is written, of at most
    /// `most_bytes`.
    pub fn new(folder: impl Into<PathBuf>, most_bytes: u64) -> Self {
        Self {
            folder: folder.into(),
            most_bytes,
        }
    }

    /// The file that the block ending with the last of `tokens` has.
    fn path(&self, session: &Session, tokens: &[u32]) -> Result<PathBuf, Error> {
        let mut hash = blake3::Hasher::new();
        hash.update(session.fingerprint()?.as_bytes());
        hash.update(bytemuck::cast_slice(tokens));
        Ok(self
            .folder
            .join(format!("{}.{EXTENSION}", hash.finalize().to_hex())))
    }

    /// Writes a block. Older ones make room; a block larger than the whole cache is not kept.
    async fn store(&self, session: &Session, path: &Path, end: usize) -> Result<(), Error> {
        let bytes = session.kv_bytes_per_token() * BLOCK as u64;
        if bytes > self.most_bytes {
            return Ok(());
        }
        make_private_folder(&self.folder)?;
        make_room(&self.folder, is_block, bytes, self.most_bytes)
            .map_err(|error| FileError::io(&self.folder, "make room in the folder", &error))?;
        write_atomically(path, async |file| {
            session
                .save(
                    file,
                    end - BLOCK..end,
                    serde_json::Value::Null,
                    &mut unwatched,
                )
                .await
        })
        .await
    }

    /// Reads the block at `path` into the session, which holds the tokens before it, and returns
    /// what becomes of the cache.
    ///
    /// # Errors
    /// What has nothing to do with the block: the session can't hold it, the GPU fails, or
    /// `progress` said stop.
    async fn load(
        session: &mut Session,
        path: &Path,
        tokens: &[u32],
        progress: &mut OnProgress<'_>,
    ) -> Result<Block, Error> {
        let file = match open_private(path) {
            Ok(Some((file, _))) => file,
            // Another process may have made room.
            Ok(None) => return Ok(Block::Missing),
            Err(error) => {
                let then = "the block stays, and is computed at each start: delete it, or name \
                    another folder \
                            with --cache-dir";
                warn_of(&error, then);
                return Ok(Block::Unreadable);
            }
        };
        match session
            .resume(
                &mut BufReader::with_capacity(1 << 20, &file),
                Some(tokens),
                progress,
            )
            .await
        {
            Ok(_) => Ok(Block::Loaded(file)),
            Err(Error::Snapshot(cause)) if cause.proves_damage() => {
                tracing::warn!(
                    "{}: {cause}; the block is deleted and computed again",
                    path.display()
                );
                if let Err(error) = fs::remove_file(path)
                    && error.kind() != io::ErrorKind::NotFound
                {
                    warn_of(
                        &FileError::io(path, "delete the block", &error),
                        "delete it yourself",
                    );
                }
                Ok(Block::Wrong)
            }
            Err(Error::Snapshot(SnapshotError::Read(cause))) => {
                let file = path.display();
                let text = format!(
                    "{file}: can't read the block: {cause}; it stays, and is computed: delete it, \
                     or name another \
                     folder with --cache-dir"
                );
                warn_once(&file, &text);
                Ok(Block::Unreadable)
            }
            Err(Error::Snapshot(cause)) => {
                tracing::warn!(
                    "{}: {cause}; the block is computed, and replaced",
                    path.display()
                );
                Ok(Block::Wrong)
            }
            Err(error) => Err(error),
        }
    }

    /// Brings the session to hold exactly `tokens`: what it holds already stays, what is on disk is
    /// read, and the rest is computed; every block that is completed goes to disk. `progress` hears
    /// how many tokens are there, of how many.
    ///
    /// What is wrong with a block or with the folder costs time, not the answer: it is logged. A
    /// block that is proven to be damaged is deleted; one that can't be read stays.
    ///
    /// # Errors
    /// As [`Session::prefill`]. A prompt that does not fit the context is refused before anything
    /// changes.
    pub async fn prefill(
        &self,
        session: &mut Session,
        tokens: &[u32],
        progress: &mut OnProgress<'_>,
    ) -> Result<Reuse, Error> {
        session.check_prompt(tokens)?;
        let mut reuse = Reuse {
            kept: session.keep_prefix(tokens),
            ..Reuse::default()
        };
        let is_usable =
            tokens.len() > BLOCK && self.is_usable(session, reuse.kept, tokens.len(), progress)?;
        let mut writable = is_usable;
        // Later blocks are touched first: where room is needed, a chain loses its end, not its
        // beginning.
        let mut used = Vec::new();
        let mut replaced = None;
        loop {
            let held = session.tokens().len();
            let end = (held / BLOCK + 1) * BLOCK;
            // One token at least is computed, for its logits.
            if !writable || end >= tokens.len() {
                break;
            }
            let Some(path) = self.known_path(session, &tokens[..end]) else {
                break;
            };
            let mut show = |now: Progress| {
                let done = end - BLOCK + BLOCK.min(now.done as usize);
                progress(Progress::of(done, tokens.len()))
            };
            match Self::load(session, &path, &tokens[..end], &mut show).await? {
                Block::Loaded(file) => {
                    reuse.kept = reuse.kept.min(end - BLOCK);
                    reuse.loaded += BLOCK;
                    used.push((file, path));
                }
                Block::Wrong => {
                    replaced = Some(path);
                    break;
                }
                Block::Missing | Block::Unreadable => break,
            }
        }
        for (file, path) in used.into_iter().rev() {
            touch(&file, &path);
        }
        while session.tokens().len() < tokens.len() {
            let held = session.tokens().len();
            let end = ((held / BLOCK + 1) * BLOCK).min(tokens.len());
            let mut show =
                |now: Progress| progress(Progress::of(held + now.done as usize, tokens.len()));
            session.prefill(&tokens[held..end], &mut show).await?;
            reuse.computed += end - held;
            if writable && end.is_multiple_of(BLOCK) {
                writable = self
                    .keep(session, &tokens[..end], replaced.as_deref())
                    .await?;
            }
        }
        if is_usable {
            self.trim();
        }
        Ok(reuse)
    }

    /// Whether blocks may be read and written: the folder is no other user's, and the weights can
    /// be hashed. `progress` may stop that, after `kept` tokens of `all`.
    fn is_usable(
        &self,
        session: &Session,
        kept: usize,
        all: usize,
        progress: &mut OnProgress<'_>,
    ) -> Result<bool, Error> {
        let mut hashed = || {
            session
                .engine()
                .model()
                .hash_weights(&mut |_| progress(Progress::of(kept, all)))
        };
        match check_folder(&self.folder)
            .map_err(Error::from)
            .and_then(|()| hashed())
        {
            Ok(()) => Ok(true),
            Err(Error::Stopped) => Err(Error::Stopped),
            Err(error) => {
                self.warn_unkept(&error);
                Ok(false)
            }
        }
    }

    /// Says why prompts are not kept, and what to do about it.
    fn warn_unkept(&self, error: &Error) {
        let then = "prompts are not kept on disk: --cache-dir names another folder for them, \
            --no-cache leaves this out";
        match error {
            Error::File(error) => warn_of(error, then),
            error => warn_once(
                error,
                &format!("{}: {error}; {then}", self.folder.display()),
            ),
        }
    }

    /// Deletes what does not fit any more: the cache may have become smaller.
    fn trim(&self) {
        if let Err(error) = make_room(&self.folder, is_block, 0, self.most_bytes) {
            let error = FileError::io(&self.folder, "make room in the folder", &error);
            warn_of(
                &error,
                "it takes more than --cache-size: delete files there",
            );
        }
    }

    /// The path of a block, where the model's weights can be hashed: a cache is no reason to fail.
    fn known_path(&self, session: &Session, tokens: &[u32]) -> Option<PathBuf> {
        self.path(session, tokens)
            .map_err(|error| self.warn_unkept(&error))
            .ok()
    }

    /// Writes the block that ends the session's tokens, unless a file is there that is not
    /// `replaced`. Returns whether it is worth while to write more.
    ///
    /// # Errors
    /// The GPU is lost, and the session with it, or somebody stopped the work.
    async fn keep(
        &self,
        session: &Session,
        tokens: &[u32],
        replaced: Option<&Path>,
    ) -> Result<bool, Error> {
        let Some(path) = self.known_path(session, tokens) else {
            return Ok(false);
        };
        if path.exists() && replaced != Some(&path) {
            return Ok(true);
        }
        match self.store(session, &path, tokens.len()).await {
            Ok(()) => Ok(true),
            Err(error @ (Error::Stopped | Error::Gpu(GpuError::Lost { .. }))) => Err(error),
            Err(error) => {
                self.warn_unkept(&error);
                Ok(false)
            }
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use pollster::block_on;

    use super::*;
    use crate::errors::SpillError;
    use crate::low_level::Synthetic;
    use crate::{Engine, EngineOptions, Gpu, GpuOptions, Spilling};

    /// A session of a tiny model; its GPU has room for as many bytes of a KV cache, or for all.
    fn session(kv: Option<u64>) -> Session {
        let model = "tiny:q8_0,vocab=512,context=16k"
            .parse::<Synthetic>()
            .expect("a shape")
            .model()
            .expect("a model");
        let open = |memory| {
            let adapter = std::env::var("GODWIT_ADAPTER").ok();
            let options = GpuOptions {
                adapter,
                memory,
                ..GpuOptions::default()
            };
            let gpu = block_on(Gpu::open(&options))
                .expect("a GPU, or the software driver that tests/fetch.sh installs");
            let options = EngineOptions {
                spill: Spilling::Host { memory: 0 },
                ..EngineOptions::default()
            };
            let engine = block_on(Engine::load(gpu, &model, &options, &mut crate::unwatched))
                .expect("it loads");
            block_on(engine.session()).expect("a session")
        };
        let roomy = open(None);
        let Some(kv) = kv else { return roomy };
        let memory = roomy.memory();
        open(Some(memory.weights + memory.scratch + kv))
    }

    #[test]
    fn a_full_disk_for_the_kv_cache_leaves_good_blocks() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = PrefixCache::new(folder.path(), 1 << 30);
        let prompt: Vec<u32> = (0..8300_u32).map(|i| i.wrapping_mul(i) % 509).collect();
        let blocks = || fs::read_dir(folder.path()).expect("a folder").count();
        block_on(cache.prefill(&mut session(None), &prompt, &mut unwatched)).expect("room");
        assert_eq!(blocks(), 2);

        let mut small = session(Some(3 << 20));
        small.executor.kv.spill_to_full_disk();
        let error =
            block_on(cache.prefill(&mut small, &prompt, &mut unwatched)).expect_err("no room");
        assert!(
            matches!(error, Error::Spill(SpillError::File { .. })),
            "{error}"
        );
        assert!(error.to_string().contains("No space left"), "{error}");
        assert_eq!(blocks(), 2);

        // With room on the host they are read.
        let reuse = block_on(cache.prefill(&mut session(Some(3 << 20)), &prompt, &mut unwatched))
            .expect("room");
        assert_eq!((reuse.loaded, reuse.computed), (8192, 108));
    }
}
