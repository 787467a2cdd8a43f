//! Prompts on disk: the KV caches of long prompts, in blocks, so that a prompt that begins as an earlier one did goes on
//! where that one's beginning ends. An interrupted prefill leaves its finished blocks here too.

use std::fs::{self, File, FileTimes};
use std::io::{self, BufReader};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::error::Error;
use crate::native::write_atomically;
use crate::saved::SavedError;
use crate::session::Session;

/// Tokens of a block. Shorter prompts leave nothing.
pub const BLOCK: usize = 4096;

const EXTENSION: &str = "godwit-kv";

/// A folder of blocks. Each is a saved context (see [`crate::saved`]) that is named by the hash of all tokens to its end.
#[derive(Clone, Debug)]
pub struct PrefixCache {
    folder: PathBuf,
    most_bytes: u64,
}

/// Where a prompt's tokens came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reuse {
    /// They were in the session already.
    pub kept: usize,
    /// They were read from disk.
    pub loaded: usize,
    /// They were computed.
    pub computed: usize,
}

impl PrefixCache {
    /// A cache in this folder, which is made when the first block is written, of at most `most_bytes`.
    pub fn new(folder: impl Into<PathBuf>, most_bytes: u64) -> Self {
        Self { folder: folder.into(), most_bytes }
    }

    /// The file that the block ending with the last of `tokens` has.
    fn path(&self, session: &Session, tokens: &[u32]) -> Result<PathBuf, Error> {
        let mut hash = blake3::Hasher::new();
        hash.update(session.fingerprint()?.as_bytes());
        hash.update(bytemuck::cast_slice(tokens));
        Ok(self.folder.join(format!("{}.{EXTENSION}", hash.finalize().to_hex())))
    }

    /// Writes a block. Older ones make room; a block larger than the whole cache is not kept.
    async fn store(&self, session: &Session, path: &Path, end: usize) -> Result<(), Error> {
        let io = |error: io::Error| SavedError::Io(format!("{}: {error}", self.folder.display()));
        let bytes = session.kv_bytes_per_token() * BLOCK as u64;
        if bytes > self.most_bytes {
            return Ok(());
        }
        fs::create_dir_all(&self.folder).map_err(io)?;
        self.make_room(bytes).map_err(io)?;
        write_atomically(path, async |file| {
            session.save(file, end - BLOCK..end, serde_json::Value::Null, &mut |_, _| ControlFlow::Continue(())).await
        })
        .await
    }

    /// Deletes the blocks that were not used for the longest time, until there is room for `bytes` more.
    fn make_room(&self, bytes: u64) -> io::Result<()> {
        let mut blocks = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.path().extension().is_some_and(|extension| extension == EXTENSION) {
                let metadata = entry.metadata()?;
                blocks.push((metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH), metadata.len(), entry.path()));
            }
        }
        blocks.sort();
        let mut used: u64 = blocks.iter().map(|(_, len, _)| len).sum();
        for (_, len, path) in blocks {
            if used + bytes <= self.most_bytes {
                break;
            }
            fs::remove_file(path)?;
            used -= len;
        }
        Ok(())
    }

    /// Brings the session to hold exactly `tokens`: what it holds already stays, what is on disk is read, and the rest is
    /// computed; every block that is completed goes to disk. `progress` hears how many tokens are there, of how many.
    ///
    /// What is wrong with a block or with the folder costs time, not the answer: it is logged, and a bad block deleted.
    ///
    /// # Errors
    /// As [`Session::prefill`]. A prompt that does not fit the context is refused before anything changes.
    pub async fn prefill(
        &self,
        session: &mut Session,
        tokens: &[u32],
        progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<Reuse, Error> {
        session.check_prompt(tokens)?;
        let mut reuse = Reuse { kept: session.keep_prefix(tokens), ..Reuse::default() };
        // Later blocks are touched first: where room is needed, a chain loses its end, not its beginning.
        let mut used = Vec::new();
        loop {
            let held = session.tokens().len();
            let end = (held / BLOCK + 1) * BLOCK;
            // One token at least is computed, for its logits.
            if end >= tokens.len() {
                break;
            }
            let path = self.path(session, &tokens[..end])?;
            let Ok(file) = File::open(&path) else { break };
            let mut show = |done: usize, _: usize| progress(end - BLOCK + done.min(BLOCK), tokens.len());
            match session.resume(&mut BufReader::with_capacity(1 << 20, &file), Some(&tokens[..end]), &mut show).await {
                Ok(_) => {
                    reuse.kept = reuse.kept.min(end - BLOCK);
                    reuse.loaded += BLOCK;
                    used.push(file);
                }
                Err(Error::Saved(fault)) => {
                    tracing::warn!("{}: {fault}; the block is deleted and computed again", path.display());
                    let _ = fs::remove_file(&path);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        for file in used.into_iter().rev() {
            // Where times can't be set, the order of eviction suffers, nothing else.
            let _ = file.set_times(FileTimes::new().set_modified(SystemTime::now()));
        }
        let mut writable = true;
        while session.tokens().len() < tokens.len() {
            let held = session.tokens().len();
            let end = ((held / BLOCK + 1) * BLOCK).min(tokens.len());
            let mut show = |done: usize, _: usize| progress(held + done, tokens.len());
            session.prefill(&tokens[held..end], &mut show).await?;
            reuse.computed += end - held;
            if writable && end.is_multiple_of(BLOCK) {
                let path = self.path(session, &tokens[..end])?;
                match if path.exists() { Ok(()) } else { self.store(session, &path, end).await } {
                    Err(Error::Saved(fault)) => {
                        tracing::warn!("prompts are not kept on disk: {fault}");
                        writable = false;
                    }
                    other => other?,
                }
            }
        }
        Ok(reuse)
    }
}
