//! Prompts on disk: the KV caches of long prompts, in blocks, so that a prompt that begins as an
//! earlier one did goes on where that one's beginning ends. An interrupted prefill leaves its
//! finished blocks here too. Sessions and the sequences of a scheduler read and write the same
//! blocks.

mod holder;
mod sequences;
#[cfg(all(test, target_os = "linux"))]
mod tests;

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use crate::engine::Engine;
use crate::error::Error;
use crate::gpu::GpuError;
use crate::io::FileError;
use crate::io::durable::write_atomically;
use crate::io::evict::{make_room, touch};
use crate::io::open::open_private;
use crate::io::private::{check_folder, make_private_folder};
use crate::io::warn::{warn_of, warn_once};
use crate::kv_cache::SnapshotError;
use crate::progress::{OnProgress, Progress};
use crate::session::{Reuse, Session};
use holder::Holder;

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
    fn path(&self, engine: &Engine, tokens: &[u32]) -> Result<PathBuf, Error> {
        let mut hash = blake3::Hasher::new();
        hash.update(engine.fingerprint()?.as_bytes());
        hash.update(bytemuck::cast_slice(tokens));
        Ok(self
            .folder
            .join(format!("{}.{EXTENSION}", hash.finalize().to_hex())))
    }

    /// Writes a block. Older ones make room; a block larger than the whole cache is not kept.
    async fn write(&self, holder: &mut impl Holder, path: &Path, end: usize) -> Result<(), Error> {
        let bytes = holder.engine().kv_bytes_per_token() * BLOCK as u64;
        if bytes > self.most_bytes {
            return Ok(());
        }
        make_private_folder(&self.folder)?;
        make_room(&self.folder, is_block, bytes, self.most_bytes)
            .map_err(|error| FileError::io(&self.folder, "make room in the folder", &error))?;
        write_atomically(path, async |file| holder.save(file, end - BLOCK..end).await).await
    }

    /// Reads the block at `path` into a sequence that holds the tokens before it, and returns what
    /// becomes of the cache.
    ///
    /// # Errors
    /// What has nothing to do with the block: the sequence can't hold it, the GPU fails, or
    /// `progress` said stop.
    async fn read(
        holder: &mut impl Holder,
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
        let input = &mut BufReader::with_capacity(1 << 20, &file);
        match holder.resume(input, tokens, progress).await {
            Ok(true) => Ok(Block::Loaded(file)),
            Ok(false) => Ok(Block::Missing),
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
        let kept = session.keep_prefix(tokens);
        let is_usable = tokens.len() > BLOCK
            && self.is_usable(session.engine(), kept, tokens.len(), progress)?;
        let (mut reuse, mut replaced) = (Reuse::of_kept(kept), None);
        if is_usable {
            (reuse, replaced) = self.read_blocks(session, tokens, progress).await?;
        }
        let mut writable = is_usable;
        while session.tokens().len() < tokens.len() {
            let held = session.tokens().len();
            let end = ((held / BLOCK + 1) * BLOCK).min(tokens.len());
            let mut show =
                |now: Progress| progress(Progress::of(held + now.done as usize, tokens.len()));
            session.prefill(&tokens[held..end], &mut show).await?;
            reuse.computed += end - held;
            if writable && end.is_multiple_of(BLOCK) {
                let replaced = replaced.as_deref();
                writable = self.keep(session, &tokens[..end], replaced).await?;
            }
        }
        if is_usable {
            self.trim();
        }
        Ok(reuse)
    }

    /// Reads the blocks that follow the tokens of a sequence, as far as there are any: what it
    /// holds then, and the file of a block that is to be replaced.
    async fn read_blocks(
        &self,
        holder: &mut impl Holder,
        tokens: &[u32],
        progress: &mut OnProgress<'_>,
    ) -> Result<(Reuse, Option<PathBuf>), Error> {
        let mut reuse = Reuse::of_kept(holder.tokens().len());
        // Later blocks are touched first: where room is needed, a chain loses its end, not its
        // beginning.
        let mut used = Vec::new();
        let mut replaced = None;
        loop {
            let held = holder.tokens().len();
            let end = (held / BLOCK + 1) * BLOCK;
            // One token at least is computed, for its logits.
            if end >= tokens.len() || held + holder.findable(&tokens[held..]) >= end {
                break;
            }
            let Some(path) = self.known_path(holder.engine(), &tokens[..end]) else {
                break;
            };
            let mut show = |now: Progress| {
                let done = end - BLOCK + BLOCK.min(now.done as usize);
                progress(Progress::of(done, tokens.len()))
            };
            match Self::read(holder, &path, &tokens[..end], &mut show).await? {
                // Its name may promise what it does not hold.
                Block::Loaded(_) if holder.tokens().len() != end => break,
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
        Ok((reuse, replaced))
    }

    /// Whether blocks may be read and written: the folder is no other user's, and the weights can
    /// be hashed. `progress` may stop that, after `kept` tokens of `all`.
    fn is_usable(
        &self,
        engine: &Engine,
        kept: usize,
        all: usize,
        progress: &mut OnProgress<'_>,
    ) -> Result<bool, Error> {
        let mut hashed = || {
            engine
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
    fn known_path(&self, engine: &Engine, tokens: &[u32]) -> Option<PathBuf> {
        self.path(engine, tokens)
            .map_err(|error| self.warn_unkept(&error))
            .ok()
    }

    /// Writes the block that ends these tokens of a sequence, unless a file is there that is not
    /// `replaced`. Returns whether it is worth while to write more.
    ///
    /// # Errors
    /// The GPU is lost, or somebody stopped the work.
    async fn keep(
        &self,
        holder: &mut impl Holder,
        tokens: &[u32],
        replaced: Option<&Path>,
    ) -> Result<bool, Error> {
        let Some(path) = self.known_path(holder.engine(), tokens) else {
            return Ok(false);
        };
        if path.exists() && replaced != Some(&path) {
            return Ok(true);
        }
        match self.write(holder, &path, tokens.len()).await {
            Ok(()) => Ok(true),
            Err(error @ (Error::Stopped | Error::Gpu(GpuError::Lost { .. }))) => Err(error),
            Err(error) => {
                self.warn_unkept(&error);
                Ok(false)
            }
        }
    }
}
