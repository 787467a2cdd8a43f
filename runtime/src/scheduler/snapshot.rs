//! A scheduler's sequences as files, and back: in the format of a session's snapshots.

use std::ops::Range;

use godwit_shaders::PAGE;

use super::Scheduler;
use super::core::Core;
use super::sequence::{Place, SequenceId};
use crate::engine::Engine;
use crate::error::Error;
use crate::io::{Input, Output};
use crate::kv_cache::SnapshotHeader;
use crate::kv_cache::pages::PageId;
use crate::kv_cache::snapshot::{
    OpenedSnapshot, Requirements, SnapshotReader, SnapshotWriter, TILE, runs,
};
use crate::progress::{OnProgress, Progress};
use crate::session::snapshot::{begin, header, unwritten};

impl Scheduler {
    /// The engine that it computes with.
    pub fn engine(&self) -> &Engine {
        &self.device.executor.engine
    }

    /// The tokens of a sequence whose keys and values are computed, or will be when all that was
    /// submitted is done.
    ///
    /// # Errors
    /// There is no such sequence.
    pub fn computed_tokens(&self, sequence: SequenceId) -> Result<&[u32], Error> {
        Ok(&self.core.sequence(sequence)?.tokens)
    }

    /// How many of a prompt's tokens, which follow those of a sequence, are in pages that it will
    /// share.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn findable(&self, sequence: SequenceId, prompt: &[u32]) -> usize {
        self.core.findable(sequence, prompt)
    }

    /// Writes a sequence's tokens up to `range.end`, and the keys and values of those in `range`,
    /// as [`Session::save`](crate::Session::save) does. They may be on the host. Steps in flight
    /// are waited for; the sequence's requests go on.
    ///
    /// # Errors
    /// There is no such sequence, the range is not in its computed tokens or begins at no multiple
    /// of 32, writing fails, the GPU fails, or `progress` says stop.
    pub async fn save(
        &mut self,
        sequence: SequenceId,
        out: &mut Output<'_>,
        range: Range<usize>,
        note: serde_json::Value,
        progress: &mut OnProgress<'_>,
    ) -> Result<(), Error> {
        self.recover()?;
        self.drain().await?;
        let tokens = &self.core.sequence(sequence)?.tokens;
        let header = header(self.engine(), tokens.len(), &range, note, progress)?;
        let ids = tokens[..range.end].to_vec();
        self.move_pages().await?;
        let saved = self
            .write_pages(sequence, out, &header, &ids, progress)
            .await;
        self.give_up_after(&saved)?;
        saved
    }

    /// Writes a snapshot with this header.
    async fn write_pages(
        &mut self,
        sequence: SequenceId,
        out: &mut Output<'_>,
        header: &SnapshotHeader,
        ids: &[u32],
        progress: &mut OnProgress<'_>,
    ) -> Result<(), Error> {
        let (first, count) = (header.first, header.count);
        let mut writer = SnapshotWriter::begin(out, header, ids).map_err(unwritten)?;
        for run in runs(first, count) {
            let mut pages = Vec::new();
            for part in pages_of(run.clone()) {
                let place = self.core.sequence(sequence)?.table[part.number];
                pages.push((self.device.read_page(place).await?, part));
            }
            let arrays = pages.first().map_or(0, |(arrays, _)| arrays.len());
            for array in 0..arrays {
                for (arrays, part) in &pages {
                    let (bytes, tile) = (&arrays[array], arrays[array].len() / TILES);
                    let tiles = part.tiles.start * tile..part.tiles.end * tile;
                    writer.put(&bytes[tiles]).map_err(unwritten)?;
                }
            }
            let done = (run.end - first).into();
            if progress(Progress::new(done, count.into())).is_break() {
                return Err(Error::Stopped);
            }
        }
        writer.end().map_err(unwritten)
    }

    /// Goes on from a snapshot, as [`Session::resume`](crate::Session::resume) does: its tokens,
    /// keys and values follow the sequence's own, which must be those that it was saved after.
    /// Requests of the sequence end, and idle sequences leave the GPU where there is no room. Where
    /// `expected` is given, the file's tokens must be its beginning.
    ///
    /// # Errors
    /// There is no such sequence; the file is damaged, foreign, or of other tokens; it does not
    /// fit; the GPU fails, or `progress` says stop. A file that is foreign, of other tokens, or too
    /// long is refused before anything changes; after any other error, and where the future is
    /// dropped, the sequence is left with the tokens before the file's first position at least.
    pub async fn resume(
        &mut self,
        sequence: SequenceId,
        input: &mut Input<'_>,
        expected: Option<&[u32]>,
        progress: &mut OnProgress<'_>,
    ) -> Result<SnapshotHeader, Error> {
        self.recover()?;
        self.drain().await?;
        let engine = self.device.executor.engine.clone();
        let file = OpenedSnapshot::read(input, &engine.kv_format().to_string())?;
        let count = file.header.count;
        engine
            .model()
            .hash_weights(&mut |_| progress(Progress::new(0, count.into())))?;
        let wanted = Requirements {
            fingerprint: engine.fingerprint()?,
            vocab: engine.model().config().vocab,
            held: &self.core.sequence(sequence)?.tokens,
            expected,
        };
        let reading = begin(file, &wanted, self.core.limits.context as u32)?;
        self.core.cancel_all(sequence)?;
        self.truncate(sequence, reading.header.first as usize)?;
        self.reserve_pages(sequence, &reading.header).await?;
        let loaded = self.read_pages(sequence, reading, progress).await;
        self.core.release_loading();
        self.give_up_after(&loaded)?;
        loaded
    }

    /// The device may have lacked memory for a step in flight, and says so once: nothing is known
    /// of any page then.
    fn give_up_after<T>(&mut self, done: &Result<T, Error>) -> Result<(), Error> {
        match done {
            Err(error @ Error::Gpu(_)) => self.start_over(error.clone()),
            _ => Ok(()),
        }
    }

    /// Takes pages for what a snapshot holds. That there is no room changes nothing else.
    async fn reserve_pages(
        &mut self,
        sequence: SequenceId,
        header: &SnapshotHeader,
    ) -> Result<(), Error> {
        let (first, count) = (header.first as usize, header.count as usize);
        let missing = self.core.sequence(sequence)?.missing_pages(first + count) as u32;
        let wanted = self.core.pages.in_use() + missing;
        self.grow_to(wanted.min(self.core.limits.pages)).await?;
        self.core.take_loading(sequence, first, first + count)?;
        self.move_pages().await
    }

    /// Reads keys and values into the pages that were taken, which the sequence has once all is
    /// verified.
    async fn read_pages(
        &mut self,
        sequence: SequenceId,
        mut reading: SnapshotReader<'_>,
        progress: &mut OnProgress<'_>,
    ) -> Result<SnapshotHeader, Error> {
        let (first, count) = (reading.header.first as usize, reading.header.count as usize);
        let mut bytes = Vec::new();
        for run in reading.runs() {
            let mut pages = Vec::new();
            for part in pages_of(run.clone()) {
                let page = self.core.loading_page(sequence, part.number)?;
                pages.push((self.device.executor.kv.page_parts(page), part));
            }
            let arrays = pages.first().map_or(0, |(arrays, _)| arrays.len());
            let memory = self.device.executor.buffers.memory();
            for array in 0..arrays {
                for (arrays, part) in &pages {
                    let to = arrays[array];
                    let tile = to.bytes as usize / TILES;
                    bytes.resize(part.tiles.len() * tile, 0);
                    reading.take(&mut bytes)?;
                    memory
                        .write(to, (part.tiles.start * tile) as u64, &bytes)
                        .await?;
                }
            }
            // Copies on their way to the GPU don't pile up.
            memory.gpu().finish().await?;
            let done = u64::from(run.end) - first as u64;
            if progress(Progress::new(done, count as u64)).is_break() {
                return Err(Error::Stopped);
            }
        }
        let (header, ids) = reading.end()?;
        self.core.end_loading(sequence, &ids[first..]);
        Ok(header)
    }

    /// Does what was planned for the memory of pages, without a step.
    async fn move_pages(&mut self) -> Result<(), Error> {
        let ops = std::mem::take(&mut self.core.memory_ops);
        self.is_running = true;
        let moved = self.device.move_pages(&ops).await;
        self.is_running = false;
        match moved {
            Ok(()) => Ok(()),
            Err(error) => {
                self.start_over(error.clone())?;
                Err(error)
            }
        }
    }
}

/// Tiles of a page.
const TILES: usize = PAGE as usize / TILE;

/// The part of a page that a run of positions lies in.
struct PagePart {
    /// Of the sequence's pages.
    number: usize,
    tiles: Range<usize>,
}

/// The pages that positions lie in. They begin at a multiple of a tile.
fn pages_of(run: Range<u32>) -> impl Iterator<Item = PagePart> {
    let (page, run) = (PAGE as usize, run.start as usize..run.end as usize);
    (run.start / page..run.end.div_ceil(page)).map(move |number| {
        let first = number * page;
        let begin = run.start.max(first) - first;
        let end = run.end.min(first + page) - first;
        PagePart {
            number,
            tiles: begin / TILE..end.div_ceil(TILE),
        }
    })
}

impl Core {
    /// Takes pages for the tokens of a sequence from `first` on, up to `end`. What is idle leaves
    /// the GPU for them. They are no sequence's until [`Core::end_loading`].
    fn take_loading(&mut self, id: SequenceId, first: usize, end: usize) -> Result<(), Error> {
        let sequence = self.sequence(id)?;
        let (tokens, held) = (end - first, sequence.tokens.len());
        let needed = sequence.missing_pages(end);
        while (self.pages.free() as usize) < needed
            && let Some(idle) = self.longest_idle(id)
        {
            self.leave_gpu(idle);
        }
        // The page that a truncation left may have found no memory.
        let is_there = held == first && self.pages.free() as usize >= needed;
        if is_there && self.bring_back_pages(id) {
            let new = end.div_ceil(PAGE as usize) - first.div_ceil(PAGE as usize);
            self.loading
                .extend((0..new).map_while(|_| self.pages.take()));
            return Ok(());
        }
        let full = Error::ContextFull {
            tokens,
            used: held,
            context: self.pages.len() * PAGE,
        };
        Err(self.refused.clone().map_or(full, Error::Gpu))
    }

    /// The page that a sequence's page of this number is loaded into.
    fn loading_page(&self, id: SequenceId, number: usize) -> Result<PageId, Error> {
        let table = &self.sequence(id)?.table;
        match (
            table.get(number),
            self.loading.get(number.saturating_sub(table.len())),
        ) {
            (Some(Place::Gpu(page)), _) | (None, Some(page)) => Ok(*page),
            _ => Err(Error::NoSuchSequence),
        }
    }

    /// Gives pages that were being loaded to the sequence, with the tokens that they hold.
    fn end_loading(&mut self, id: SequenceId, tokens: &[u32]) {
        let loaded = std::mem::take(&mut self.loading);
        let Some(sequence) = self.sequences.get_mut(&id) else {
            return loaded.into_iter().for_each(|page| self.pages.release(page));
        };
        sequence.table.extend(loaded.into_iter().map(Place::Gpu));
        // Nobody knows which passes computed them.
        sequence.decoded_from = sequence.decoded_from.min(sequence.tokens.len());
        sequence.tokens.extend(tokens);
        sequence.last_used = self.clock;
        self.remember_pages(id);
    }

    /// Lets go of pages that were being loaded.
    pub fn release_loading(&mut self) {
        for page in std::mem::take(&mut self.loading) {
            self.pages.release(page);
        }
    }
}
