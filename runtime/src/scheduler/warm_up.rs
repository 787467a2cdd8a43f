//! What is made before frames begin: plans of all passes that may come, zeros, staging buffers.

use godwit_shaders::kernels::attention::RowClass;

use super::batch::MOST_SPANS;
use super::device::{Device, bucket};
use crate::engine::heads;
use crate::error::Error;
use crate::executor::Work;
use crate::executor::choose::RowChoice;
use crate::kv_cache::pages::Pages;
use crate::model::{BatchPass, LOG_PROBS};

/// Pages that are cleared in one submission.
const CLEARED_AT_ONCE: usize = 4;

/// Staging buffers for each direction. A slice writes through one, and three slices may be on their
/// way.
const STAGING: usize = 4;

impl Device {
    /// Writes zeros to the pages that nobody uses. wgpu would do so when a plan reads them first,
    /// all of them in one frame.
    ///
    /// # Errors
    /// The device fails.
    pub async fn clear_free_pages(&self, pages: &Pages) -> Result<(), Error> {
        let memory = self.executor.buffers.memory();
        let free = (0..pages.len()).filter(|&page| pages.is_blank(page));
        for (i, page) in free.enumerate() {
            for part in self.executor.kv.page_parts(page) {
                memory.clear(part)?;
            }
            if i % CLEARED_AT_ONCE == CLEARED_AT_ONCE - 1 {
                memory.gpu().finish().await?;
            }
        }
        Ok(())
    }

    /// Prepares the plans of all passes over as many running requests.
    ///
    /// # Errors
    /// There is no memory, or a kernel does not compile.
    pub async fn prepare_all(&mut self, running: u32) -> Result<(), Error> {
        for work in self.all_works(running) {
            self.executor.prepare(work).await?;
        }
        Ok(())
    }

    fn all_works(&self, running: u32) -> Vec<Work> {
        let (size, engine) = (self.executor.size, &self.executor.engine);
        let caps = engine.gpu().caps();
        let segments = self.executor.kv.segments().segments_to(u32::MAX);
        let most_items = size.batch.unwrap_or_default().items;
        let [_, v_block] = engine
            .kv_format()
            .blocks(heads(engine.model().config()).head_dim);
        let spans = match caps.cpu {
            true => 1,
            false => engine.context().div_ceil(256).min(MOST_SPANS),
        };
        // A row has an item for each span, and one more for each further segment.
        let items_of_row = spans + segments as u32 - 1;
        let mut works = Vec::new();
        let mut add = |pass: BatchPass| {
            let can_be_direct = caps.cpu && v_block == 1;
            for direct in [false, true] {
                // With one segment and one span, each row has one item.
                let is_possible = match direct {
                    true => can_be_direct,
                    false => !can_be_direct || items_of_row > 1,
                };
                if is_possible {
                    works.push(Work::Batch(BatchPass { direct, ..pass }));
                }
            }
        };
        let outputs = running.min(size.outputs);
        for rows in buckets(1, outputs) {
            for items in buckets(rows, (rows * items_of_row).min(most_items)) {
                add(BatchPass {
                    rows: rows.min(size.chunk),
                    items: items.min(most_items),
                    item_tokens: 1,
                    segments,
                    class: RowClass::Decode,
                    direct: false,
                    deterministic: self.deterministic,
                    outputs: size.outputs,
                });
            }
        }
        for items in buckets(
            1,
            (running.min(size.chunk) * segments as u32).min(most_items),
        ) {
            for outputs in [0, size.outputs] {
                add(BatchPass {
                    rows: size.chunk,
                    items: items.min(most_items),
                    item_tokens: size.chunk,
                    segments,
                    class: RowClass::Prompt,
                    direct: false,
                    deterministic: self.deterministic,
                    outputs,
                });
            }
        }
        for rows in buckets(1, outputs) {
            works.push(self.logits_of(rows));
            for how in all_choices(rows) {
                works.push(self.choose_of(rows, how));
            }
        }
        works
    }

    /// Makes the staging buffers that steps will use.
    ///
    /// # Errors
    /// There is no memory.
    pub async fn reserve_staging(&self) -> Result<(), Error> {
        let (s, size) = (&self.executor.scratch, self.executor.size);
        let Some(batch) = &s.batch else {
            return Ok(());
        };
        let written = [
            s.step,
            s.tokens,
            batch.rows,
            batch.items,
            batch.pages,
            batch.outputs,
            s.choice,
            s.adjustments,
        ];
        // Each write begins at a multiple of eight bytes.
        let written: u64 = written.iter().map(|buffer| buffer.bytes + 8).sum();
        let read = u64::from(size.outputs) * LOG_PROBS as u64;
        let memory = self.executor.buffers.memory();
        Ok(memory.reserve_staging(STAGING, written, read).await?)
    }
}

/// Powers of two, from that of `least` to that of `most`.
fn buckets(least: u32, most: u32) -> impl Iterator<Item = u32> {
    let last = bucket(most);
    std::iter::successors(Some(bucket(least)), |rows| rows.checked_mul(2))
        .take_while(move |&rows| rows <= last)
}

/// How so many rows may be chosen.
fn all_choices(rows: u32) -> impl Iterator<Item = RowChoice> {
    let flags = [false, true];
    let kinds = [(true, false), (false, true), (true, true)];
    kinds
        .into_iter()
        .filter(move |&(greedy, sampled)| rows > 1 || !(greedy && sampled))
        .flat_map(move |(greedy, sampled)| {
            flags.into_iter().flat_map(move |adjusted| {
                flags.into_iter().map(move |log_probs| RowChoice {
                    greedy,
                    sampled,
                    adjusted,
                    log_probs,
                })
            })
        })
}
