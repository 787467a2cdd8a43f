//! A session's context as a file, and back.

use std::io;
use std::ops::Range;

use super::Session;
use crate::engine::Engine;
use crate::error::Error;
use crate::io::{Input, Output};
use crate::kv_cache::SnapshotHeader;
use crate::kv_cache::snapshot::{
    OpenedSnapshot, Requirements, SnapshotReader, SnapshotWriter, TILE, runs,
};
use crate::progress::{OnProgress, Progress};

pub(crate) fn unwritten(error: io::Error) -> Error {
    Error::unwritten(&error)
}

/// Reads a snapshot up to keys and values, for a session of `context` tokens.
///
/// # Errors
/// The file is damaged, another model's, of other tokens, or too long.
pub(crate) fn begin<'a>(
    file: OpenedSnapshot<'a>,
    wanted: &Requirements<'_>,
    context: u32,
) -> Result<SnapshotReader<'a>, Error> {
    file.check_fingerprint(wanted.fingerprint)?;
    if file.end() > context {
        let (tokens, used) = (file.header.count as usize, file.header.first as usize);
        return Err(Error::ContextFull {
            tokens,
            used,
            context,
        });
    }
    Ok(SnapshotReader::begin(file, wanted)?)
}

/// What a snapshot of these positions, of so many tokens, says of itself. The weights are hashed
/// for it, which `progress` may stop.
///
/// # Errors
/// The range is not in the tokens, or begins at no multiple of 32; the model's file can't be read,
/// or `progress` says stop.
pub(crate) fn header(
    engine: &Engine,
    tokens: usize,
    range: &Range<usize>,
    note: serde_json::Value,
    progress: &mut OnProgress<'_>,
) -> Result<SnapshotHeader, Error> {
    let Range { start, end } = *range;
    if start >= end || end > tokens || !start.is_multiple_of(TILE) {
        return Err(Error::Empty);
    }
    let (first, count) = (start as u32, (end - start) as u32);
    let model = engine.model();
    model.hash_weights(&mut |_| progress(Progress::new(0, count.into())))?;
    Ok(SnapshotHeader {
        fingerprint: engine.fingerprint()?.into(),
        model: model.name(),
        kv: engine.kv_format().to_string(),
        first,
        count,
        note,
    })
}

impl Session {
    /// Writes the tokens up to `range.end`, and the KV cache of those in `range`, which begins at a
    /// multiple of 32. `note` comes back when the file is read. Nothing is held in memory but a few
    /// hundred positions.
    ///
    /// # Errors
    /// The range is not in the session, writing fails, the GPU fails, or `progress` says
    /// stop.
    pub async fn save(
        &self,
        out: &mut Output<'_>,
        range: Range<usize>,
        note: serde_json::Value,
        progress: &mut OnProgress<'_>,
    ) -> Result<(), Error> {
        let header = header(self.engine(), self.tokens().len(), &range, note, progress)?;
        let (first, count) = (header.first, header.count);
        let mut writer =
            SnapshotWriter::begin(out, &header, &self.tokens()[..range.end]).map_err(unwritten)?;
        for run in runs(first, count) {
            let memory = self.executor.buffers.memory();
            self.executor
                .kv
                .read(memory, run.clone(), &mut |bytes| {
                    writer.put(bytes).map_err(unwritten)
                })
                .await?;
            let done = (run.end - first).into();
            if progress(Progress::new(done, count.into())).is_break() {
                return Err(Error::Stopped);
            }
        }
        writer.end().map_err(unwritten)
    }

    /// Goes on from a snapshot: its tokens and KV cache follow the session's own, which must be
    /// those that it was saved after. Where `expected` is given, the file's tokens must be its
    /// beginning.
    ///
    /// # Errors
    /// The file is damaged, foreign, or of other tokens; it does not fit; the GPU fails, or
    /// `progress` says stop. A file that is foreign, of other tokens, or too long
    /// is refused before anything changes; after any other error, and where the future is dropped,
    /// the session is left with the tokens before the file's first position at least.
    pub async fn resume(
        &mut self,
        input: &mut Input<'_>,
        expected: Option<&[u32]>,
        progress: &mut OnProgress<'_>,
    ) -> Result<SnapshotHeader, Error> {
        let file = OpenedSnapshot::read(input, &self.engine().kv_format().to_string())?;
        let count = file.header.count;
        self.engine()
            .model()
            .hash_weights(&mut |_| progress(Progress::new(0, count.into())))?;
        let wanted = Requirements {
            fingerprint: self.fingerprint()?,
            vocab: self.engine().model().config().vocab,
            held: self.tokens(),
            expected,
        };
        let mut reading = begin(file, &wanted, self.context())?;
        let first = reading.header.first;
        // Nothing was written until here, and what is written from here on is no token of the
        // session before all is verified.
        self.transcript.overwrite_from(first as usize);
        for run in reading.runs() {
            self.reserve(run.end - 1, 1).await?;
            let memory = self.executor.buffers.memory();
            self.executor
                .kv
                .write(memory, run.clone(), &mut |bytes| {
                    Ok::<_, Error>(reading.take(bytes)?)
                })
                .await?;
            let done = (run.end - first).into();
            if progress(Progress::new(done, count.into())).is_break() {
                return Err(Error::Stopped);
            }
        }
        let (header, ids) = reading.end()?;
        self.transcript.append_cached(&ids[first as usize..]);
        Ok(header)
    }

    /// A hash of the model, its rotary embedding, and the type of the KV cache: snapshots fit where
    /// it is the same.
    ///
    /// # Errors
    /// The model's file can't be read.
    pub fn fingerprint(&self) -> Result<&str, Error> {
        self.engine().fingerprint()
    }
}
