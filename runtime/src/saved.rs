//! Contexts on disk: tokens and their KV cache, so that nobody computes them twice.
//!
//! A file is `GODWITKV`, a version and the length of a JSON header (u32 each), the header, the ids
//! of all tokens up to the last saved one (u32), the saved positions' keys and values as the
//! kernels store them (runs of [`RUN`] positions; in a run layer by layer, keys then values, whole
//! tiles of 32 positions), and the BLAKE3 hash of all that. Numbers are little-endian. The layout
//! knows nothing of segments: what was saved with one segmentation loads into another.

use std::io::{self, Read, Write};
use std::ops::{ControlFlow, Range};

use serde::{Deserialize, Serialize};
use thiserror::Error as ThisError;

use crate::engine::Inner;
use crate::error::Error;
use crate::model::Part;
use crate::session::Session;
use crate::spill::SpillError;

const MAGIC: &[u8; 8] = b"GODWITKV";
/// Version 1 knew a model by the first bytes of each tensor.
const VERSION: u32 = 2;
/// Positions that are read back or written together. A multiple of 32.
const RUN: u32 = 256;
/// The largest header: a long conversation's text.
const MOST_HEADER: u32 = 256 << 20;

/// What a saved context says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedHeader {
    /// Of the model, its rotary embedding, and the type of the KV cache: [`Session::fingerprint`].
    pub fingerprint: String,
    /// The model's name, for people.
    pub model: String,
    /// The type of the KV cache, for people.
    pub kv: String,
    /// The first position whose keys and values are in the file; a multiple of 32.
    pub first: u32,
    /// How many positions there are from there on.
    pub count: u32,
    /// Whatever the saver wants to find again.
    pub note: serde_json::Value,
}

/// What is wrong with a saved context.
#[derive(Clone, Debug, PartialEq, ThisError)]
pub enum SavedError {
    /// Reading failed: the file may be good.
    #[error("it can't be read: {0}")]
    Read(String),
    /// It is another kind of file.
    #[error("it is no saved context")]
    Magic,
    /// It comes from another version.
    #[error(
        "it has version {0} of the format, and this version of Godwit reads version {VERSION} \
         only; compute the context \
         again and save it anew"
    )]
    Version(u32),
    /// It ends too early.
    #[error("it is cut short")]
    Truncated,
    /// Its bytes are not those that were written.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    /// It is another model's, or has another type of KV cache.
    #[error("it was saved by `{model}` with a {kv} KV cache and can't be used here: {why}")]
    Foreign {
        /// The model that the file names.
        model: String,
        /// The KV cache's type.
        kv: String,
        /// What is different.
        why: &'static str,
    },
    /// Its tokens are not those that were expected.
    #[error("its tokens are others from position {0} on")]
    Tokens(usize),
}

impl From<io::Error> for SavedError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Truncated,
            _ => Self::Read(error.to_string()),
        }
    }
}

impl SavedError {
    /// Whether the file is proven to be damaged: no session will ever resume from it. A file that
    /// can't be read, or that belongs to another model, version or text, is not.
    pub fn proves_damage(&self) -> bool {
        match self {
            Self::Magic | Self::Truncated | Self::Damaged(_) => true,
            Self::Read(_) | Self::Version(_) | Self::Foreign { .. } | Self::Tokens(_) => false,
        }
    }
}

fn unwritten(error: io::Error) -> Error {
    Error::Write(error.to_string())
}

/// Hashes what passes through.
struct Hashed<T> {
    inner: T,
    hash: blake3::Hasher,
}

impl<T> Hashed<T> {
    fn new(inner: T) -> Self {
        Self {
            inner,
            hash: blake3::Hasher::new(),
        }
    }
}

impl<T: Read> Hashed<T> {
    fn take(&mut self, into: &mut [u8]) -> Result<(), SavedError> {
        self.inner.read_exact(into)?;
        self.hash.update(into);
        Ok(())
    }

    fn u32(&mut self) -> Result<u32, SavedError> {
        let mut bytes = [0; 4];
        self.take(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }
}

impl<T: Write> Hashed<T> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.inner.write_all(bytes).map_err(unwritten)?;
        self.hash.update(bytes);
        Ok(())
    }
}

impl Inner {
    /// A hash of everything that decides what a KV cache holds: hyperparameters, rotary embedding,
    /// all weights, and how keys and values are stored.
    pub fn fingerprint(&self) -> Result<&str, Error> {
        if let Some(known) = self.fingerprint.get() {
            return Ok(known);
        }
        let config = self.model.config();
        let mut hash = blake3::Hasher::new();
        hash.update(
            format!(
                "{config:?} {:?} {}",
                self.llama.kv,
                self.llama.kv.tail_block()
            )
            .as_bytes(),
        );
        hash.update(self.model.weights_hash().get()?.as_bytes());
        Ok(self
            .fingerprint
            .get_or_init(|| hash.finalize().to_hex().to_string()))
    }
}

/// Reads as far as the header, and checks its form.
fn read_header(input: &mut Hashed<&mut dyn Read>) -> Result<SavedHeader, SavedError> {
    let mut magic = [0; 8];
    input.take(&mut magic).map_err(|error| {
        if error == SavedError::Truncated {
            SavedError::Magic
        } else {
            error
        }
    })?;
    if &magic != MAGIC {
        return Err(SavedError::Magic);
    }
    let version = input.u32()?;
    if version != VERSION {
        return Err(SavedError::Version(version));
    }
    let len = input.u32()?;
    if len > MOST_HEADER {
        return Err(SavedError::Damaged("its header is too long"));
    }
    // A piece at a time: a length that lies costs no memory.
    let mut json = Vec::new();
    while json.len() < len as usize {
        let at = json.len();
        json.resize((at + (1 << 16)).min(len as usize), 0);
        input.take(&mut json[at..])?;
    }
    let header: SavedHeader =
        serde_json::from_slice(&json).map_err(|_| SavedError::Damaged("its header is no JSON"))?;
    if !header.first.is_multiple_of(32)
        || header.first.checked_add(header.count).is_none()
        || header.count == 0
    {
        return Err(SavedError::Damaged("its header contradicts itself"));
    }
    Ok(header)
}

/// What a saved context is read for.
pub(crate) struct Wanted<'a> {
    /// [`Session::fingerprint`].
    pub fingerprint: &'a str,
    /// Tokens that a session holds at most.
    pub context: u32,
    /// The size of the vocabulary.
    pub vocab: u32,
    /// The tokens that the session holds.
    pub held: &'a [u32],
    /// What the file's tokens are to be the beginning of, where something is known of them.
    pub expected: Option<&'a [u32]>,
}

/// A saved context as far as its header.
pub(crate) struct Headed<'a> {
    pub header: SavedHeader,
    input: Hashed<&'a mut dyn Read>,
}

impl<'a> Headed<'a> {
    /// Reads the header.
    ///
    /// # Errors
    /// The file is damaged, or has another type of KV cache than `kv`.
    pub fn read(input: &'a mut dyn Read, kv: &str) -> Result<Self, SavedError> {
        let mut input = Hashed::new(input);
        let header = read_header(&mut input)?;
        if header.kv != kv {
            return Err(foreign(
                &header,
                "the KV cache has another type; use the same --kv",
            ));
        }
        Ok(Self { header, input })
    }
}

fn foreign(header: &SavedHeader, why: &'static str) -> SavedError {
    SavedError::Foreign {
        model: header.model.clone(),
        kv: header.kv.clone(),
        why,
    }
}

/// A saved context as far as the tokens, which are compared: behind them are keys and values, and a
/// hash.
pub(crate) struct Reading<'a> {
    pub header: SavedHeader,
    /// All tokens up to the last saved one.
    pub ids: Vec<u32>,
    input: Hashed<&'a mut dyn Read>,
}

impl<'a> Reading<'a> {
    /// Reads up to keys and values.
    ///
    /// # Errors
    /// The file is damaged, another model's, of other tokens, or too long.
    pub fn begin(file: Headed<'a>, wanted: &Wanted<'_>) -> Result<Self, Error> {
        let Headed { header, mut input } = file;
        if header.fingerprint != wanted.fingerprint {
            return Err(foreign(&header, "the model or its rotary embedding is another").into());
        }
        let (first, end) = (
            header.first as usize,
            (header.first + header.count) as usize,
        );
        let context = wanted.context;
        if end > context as usize {
            return Err(Error::ContextFull {
                tokens: end - first,
                used: first,
                context,
            });
        }
        let mut bytes = vec![0; 4 * end];
        input.take(&mut bytes)?;
        let ids: Vec<u32> = bytes
            .as_chunks()
            .0
            .iter()
            .map(|&id| u32::from_le_bytes(id))
            .collect();
        let differs = |known: &[u32]| ids.iter().zip(known).position(|(a, b)| a != b);
        if let Some(expected) = wanted.expected
            && let Some(at) = differs(expected).or((expected.len() < end).then_some(expected.len()))
        {
            return Err(SavedError::Tokens(at).into());
        }
        if let Some(at) = differs(wanted.held).filter(|&at| at < first) {
            return Err(SavedError::Tokens(at).into());
        }
        if wanted.held.len() < first {
            return Err(SavedError::Tokens(wanted.held.len()).into());
        }
        if ids.iter().any(|&id| id >= wanted.vocab) {
            return Err(SavedError::Damaged("a token does not exist").into());
        }
        Ok(Self { header, ids, input })
    }

    /// The next keys or values.
    pub fn take(&mut self, into: &mut [u8]) -> Result<(), SavedError> {
        self.input.take(into)
    }

    /// The runs of positions that follow each other.
    pub fn runs(&self) -> impl Iterator<Item = Range<u32>> + use<> {
        runs(self.header.first, self.header.count)
    }

    /// Checks the hash of all that was read, and that nothing follows it.
    pub fn end(self) -> Result<(SavedHeader, Vec<u32>), SavedError> {
        let Self {
            header,
            ids,
            mut input,
        } = self;
        let hash = input.hash.finalize();
        let mut found = [0; 32];
        input.take(&mut found)?;
        if hash.as_bytes() != &found {
            return Err(SavedError::Damaged("its hash is wrong"));
        }
        if input.inner.read(&mut [0])? != 0 {
            return Err(SavedError::Damaged("something follows its end"));
        }
        Ok((header, ids))
    }
}

/// Runs of positions, each as long as [`RUN`] allows.
fn runs(first: u32, count: u32) -> impl Iterator<Item = Range<u32>> {
    let end = first + count;
    (first..end)
        .step_by(RUN as usize)
        .map(move |at| at..(at + RUN).min(end))
}

impl Session {
    /// Writes the tokens up to `range.end`, and the KV cache of those in `range`, which begins at a
    /// multiple of 32. `note` comes back when the file is read. Nothing is held in memory but a few
    /// hundred positions.
    ///
    /// # Errors
    /// The range is not in the session, writing fails, the GPU fails, or `progress` said
    /// [`ControlFlow::Break`].
    pub async fn save(
        &self,
        out: &mut dyn Write,
        range: Range<usize>,
        note: serde_json::Value,
        progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let Range { start, end } = range;
        if start >= end || end > self.tokens().len() || !start.is_multiple_of(32) {
            return Err(Error::Empty);
        }
        let (first, count) = (start as u32, (end - start) as u32);
        self.engine()
            .model()
            .hash_weights(&mut |_| progress(0, count as usize))?;
        let (model, kv) = (
            self.engine().model().name(),
            self.engine().kv_format().to_string(),
        );
        let header = SavedHeader {
            fingerprint: self.fingerprint()?.into(),
            model,
            kv,
            first,
            count,
            note,
        };
        let json = serde_json::to_vec(&header).map_err(|error| Error::Write(error.to_string()))?;
        if json.len() > MOST_HEADER as usize {
            return Err(Error::Write(format!(
                "the conversation has {} bytes, and {MOST_HEADER} can be saved at most",
                json.len()
            )));
        }
        let mut out = Hashed::new(out);
        out.put(MAGIC)?;
        out.put(&VERSION.to_le_bytes())?;
        out.put(&(json.len() as u32).to_le_bytes())?;
        out.put(&json)?;
        for ids in self.tokens()[..end].chunks(1 << 14) {
            out.put(
                &ids.iter()
                    .flat_map(|id| id.to_le_bytes())
                    .collect::<Vec<u8>>(),
            )?;
        }
        let mut bytes = Vec::new();
        for run in runs(first, count) {
            // All of a run are on their way before the first is waited for.
            let mut parts = Vec::new();
            for part in self.cached(run.clone()) {
                let readback = if part.host.is_none() {
                    Some(self.memory.start_read(part.gpu).await?)
                } else {
                    None
                };
                parts.push((part, readback));
            }
            for (part, readback) in parts {
                match (readback, part.host, &self.spill) {
                    (Some(mut readback), ..) => bytes = readback.finish().await?,
                    (None, Some((piece, from)), Some(spill)) => {
                        bytes.resize(part.gpu.bytes as usize, 0);
                        spill.read(piece, from, &mut bytes)?;
                    }
                    (_, host, _) => {
                        return Err(SpillError::Gone(host.map_or(0, |(piece, _)| piece)).into());
                    }
                }
                out.put(&bytes)?;
            }
            if progress((run.end - first) as usize, count as usize).is_break() {
                return Err(Error::Stopped);
            }
        }
        let hash = out.hash.finalize();
        out.put(hash.as_bytes())?;
        out.inner.flush().map_err(unwritten)
    }

    /// Goes on from a saved context: its tokens and KV cache follow the session's own, which must
    /// be those that it was saved after. Where `expected` is given, the file's tokens must be its
    /// beginning.
    ///
    /// # Errors
    /// The file is damaged, foreign, or of other tokens; it does not fit; the GPU fails, or
    /// `progress` said [`ControlFlow::Break`]. A file that is foreign, of other tokens, or too long
    /// is refused before anything changes; after any other error, and where the future is dropped,
    /// the session is left with the tokens before the file's first position at least.
    pub async fn resume(
        &mut self,
        input: &mut dyn Read,
        expected: Option<&[u32]>,
        progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<SavedHeader, Error> {
        let file = Headed::read(input, &self.engine().kv_format().to_string())?;
        let count = file.header.count;
        self.engine()
            .model()
            .hash_weights(&mut |_| progress(0, count as usize))?;
        let wanted = Wanted {
            fingerprint: self.fingerprint()?,
            context: self.context(),
            vocab: self.engine().model().config().vocab,
            held: self.tokens(),
            expected,
        };
        let mut reading = Reading::begin(file, &wanted)?;
        let first = reading.header.first;
        // Nothing was written until here, and what is written from here on is no token of the
        // session before all is verified.
        self.transcript.overwrite_from(first as usize);
        let mut bytes = Vec::new();
        for run in reading.runs() {
            self.reserve(run.end - 1, 1).await?;
            for part in self.cached(run.clone()) {
                bytes.resize(part.gpu.bytes as usize, 0);
                reading.take(&mut bytes)?;
                match (part.host, &mut self.spill) {
                    (Some((piece, from)), Some(spill)) => spill.write(piece, from, &bytes)?,
                    _ => self.memory.write(part.gpu, 0, &bytes).await?,
                }
            }
            // Copies on their way to the GPU don't pile up.
            self.engine().gpu().finish().await?;
            if progress((run.end - first) as usize, count as usize).is_break() {
                return Err(Error::Stopped);
            }
        }
        let (header, ids) = reading.end()?;
        self.transcript.append_cached(&ids[first as usize..]);
        Ok(header)
    }

    /// A hash of the model, its rotary embedding, and the type of the KV cache: saved contexts fit
    /// where it is the same.
    ///
    /// # Errors
    /// The model's file can't be read.
    pub fn fingerprint(&self) -> Result<&str, Error> {
        self.engine().inner.fingerprint()
    }

    /// Where positions' keys and values are, in the order of a file: whole tiles of 32, layer by
    /// layer.
    fn cached(&self, run: Range<u32>) -> Vec<Part> {
        self.kv.parts(run.start..run.end.next_multiple_of(32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peek(mut input: &[u8]) -> Result<SavedHeader, SavedError> {
        read_header(&mut Hashed::new(&mut input))
    }

    #[test]
    fn damaged_headers_are_refused() {
        let mut good = MAGIC.to_vec();
        let header = SavedHeader {
            fingerprint: "f".into(),
            model: "m".into(),
            kv: "f16".into(),
            first: 32,
            count: 5,
            note: serde_json::Value::Null,
        };
        let json = serde_json::to_vec(&header).expect("JSON");
        good.extend(VERSION.to_le_bytes());
        good.extend((json.len() as u32).to_le_bytes());
        good.extend(&json);
        assert_eq!(peek(&good), Ok(header));
        for len in 0..good.len() {
            let error = peek(&good[..len]).expect_err("cut short");
            assert!(
                matches!(error, SavedError::Magic | SavedError::Truncated),
                "{len}: {error}"
            );
        }
        let with = |at: usize, byte: u8| {
            let mut bad = good.clone();
            bad[at] = byte;
            peek(&bad).expect_err("changed")
        };
        assert_eq!(with(0, b'g'), SavedError::Magic);
        assert_eq!(with(8, 9), SavedError::Version(9));
        assert_eq!(with(15, 255), SavedError::Damaged("its header is too long"));
        assert!(matches!(with(16, b'x'), SavedError::Damaged(_)));
    }
}
