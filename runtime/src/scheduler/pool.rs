//! The pool of pages on the GPU: how it grows, and pages that are copied or moved.

use godwit_shaders::kv::noise;
use godwit_shaders::{BufferRef, PAGE};

use super::Scheduler;
use super::core::MemoryOp;
use super::device::Device;
use super::sequence::Place;
use super::sequence::SequenceId;
use crate::engine::heads;
use crate::error::Error;
use crate::executor::Executor;
use crate::kv_cache::pages::PageId;

impl Device {
    /// Makes room for at least `pages` pages. Returns how many there is room for.
    ///
    /// # Errors
    /// There is no memory for them; what there was room for before stays.
    pub async fn grow(&mut self, pages: u32) -> Result<u32, Error> {
        if self.pages() < pages {
            let last = pages * PAGE - 1;
            let grown = self.executor.reserve_segments(last, &mut || ()).await;
            // Plans are for a number of segments.
            self.executor.prepared.clear();
            grown?;
        }
        Ok(self.pages())
    }

    /// Pages that there is room for.
    pub fn pages(&self) -> u32 {
        self.executor.kv.segments().capacity() / PAGE
    }

    /// Bytes on the GPU, the weights included.
    pub fn bytes(&self) -> u64 {
        self.executor.buffers.bytes()
    }

    /// Fills a page with noise.
    ///
    /// # Errors
    /// The device fails.
    pub async fn fill_with_noise(&mut self, page: PageId) -> Result<(), Error> {
        let Executor {
            engine,
            kv,
            buffers,
            ..
        } = &mut self.executor;
        let noise = noise(heads(engine.model().config()), engine.kv_format(), 1);
        let positions = page * PAGE..(page + 1) * PAGE;
        Ok(kv.fill(buffers.memory(), positions, &noise).await?)
    }

    /// The keys and values of a page, wherever it is: for each layer, keys then values.
    ///
    /// # Errors
    /// There is no memory to read through, or the device fails.
    pub async fn read_page(&mut self, place: Place) -> Result<Vec<Vec<u8>>, Error> {
        let page = match place {
            Place::Gpu(page) => page,
            Place::Host(page) => return Ok(self.host.read(page).await?.to_vec()),
        };
        let (mut coming, mut arrays) = (Vec::new(), Vec::new());
        for part in self.executor.kv.page_parts(page) {
            coming.push(self.executor.buffers.memory().start_read(part).await?);
        }
        for mut readback in coming {
            arrays.push(readback.finish().await?);
        }
        Ok(arrays)
    }

    /// Does what has to be done with pages before the passes of a step.
    ///
    /// # Errors
    /// There is no memory for the copies, or the device fails.
    pub async fn move_pages(&mut self, ops: &[MemoryOp]) -> Result<(), Error> {
        for op in ops {
            match *op {
                MemoryOp::Copy { from, to } => {
                    let Some(batch) = &self.executor.scratch.batch else {
                        continue;
                    };
                    let [from, to] = [from, to].map(|page| self.executor.kv.page_parts(page));
                    // A copy inside one buffer is not permitted.
                    let through = |(from, to): (BufferRef, BufferRef)| {
                        let between = BufferRef {
                            bytes: from.bytes,
                            ..batch.page_copy
                        };
                        [(from, between), (between, to)]
                    };
                    let pairs: Vec<_> = from.into_iter().zip(to).flat_map(through).collect();
                    self.executor.buffers.memory().copy(&pairs)?;
                }
                MemoryOp::ToHost { page, to } => {
                    let parts = self.executor.kv.page_parts(page);
                    self.host
                        .begin(self.executor.buffers.memory(), to, &parts)
                        .await?;
                }
                MemoryOp::FromHost { from, page } => {
                    let parts = self.executor.kv.page_parts(page);
                    self.host
                        .restore(self.executor.buffers.memory(), from, &parts)
                        .await?;
                }
                MemoryOp::Forget { host } => self.host.forget(host),
            }
        }
        Ok(())
    }
}

impl Scheduler {
    /// Gives a sequence tokens up to `len`, with noise for their keys and values, as if they had
    /// been computed: for measuring what a step takes at that depth. What follows makes no sense.
    ///
    /// # Errors
    /// There is no such sequence, or no memory.
    pub async fn fill_with_noise(&mut self, sequence: SequenceId, len: usize) -> Result<(), Error> {
        self.drain().await?;
        let missing = self.core.sequence(sequence)?.missing_pages(len) as u32;
        let wanted = self.core.pages.in_use() + missing;
        self.grow_to(wanted.min(self.core.limits.pages)).await?;
        for page in self.core.fill(sequence, len)? {
            self.device.fill_with_noise(page).await?;
        }
        Ok(())
    }
}
