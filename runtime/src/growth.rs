//! How a session's KV cache grows: on the GPU as long as there is room, then with its oldest segments on the host.

use godwit_shaders::Segment;

use crate::error::Error;
use crate::model::Pass;
use crate::session::Session;

impl Session {
    /// Makes room in the KV cache for the token at `position`; the pass for up to `wanted` tokens from there.
    pub(crate) async fn reserve(&mut self, position: u32, wanted: u32) -> Result<Pass, Error> {
        while self.kv.capacity() <= position {
            match self.grow(None).await {
                Err(Error::Gpu(fault)) if fault.is_out_of_memory() && self.spill.is_some() => {
                    self.grow_by_spilling(fault.into()).await?;
                }
                other => other?,
            }
        }
        let segments = self.kv.segments_to(position + 1);
        if self.kv.is_on_host(segments - 1) {
            self.bring_back(segments - 1).await?;
        }
        let capacity = if wanted > 1 { self.chunk } else { 1 };
        Ok(Pass { capacity, segments, outputs: true })
    }

    /// Allocates the next segment, of the usual length or of fewer positions; all of it or nothing.
    async fn grow(&mut self, most: Option<u32>) -> Result<(), Error> {
        let before = self.table.len();
        self.kv.grow(&mut self.table, most);
        let allocated = self.allocate_from(before).await;
        if allocated.is_err() {
            self.kv.shrink();
        }
        allocated
    }

    /// Allocates what the table has from `before` on; all of it or nothing.
    async fn allocate_from(&mut self, before: usize) -> Result<(), Error> {
        let allocated = self.memory.allocate(&self.table).await;
        if allocated.is_err() {
            self.table.truncate(before);
            self.memory.truncate(before);
        }
        Ok(allocated?)
    }

    /// Grows by moving the oldest segments to the host, as few as can be.
    async fn grow_by_spilling(&mut self, fault: Error) -> Result<(), Error> {
        let most = self.kv.spilling_len();
        loop {
            let grown = match self.make_window().await {
                Ok(()) => self.grow(Some(most)).await,
                error => error,
            };
            match grown {
                Err(Error::Gpu(again)) if again.is_out_of_memory() => {
                    let Some(oldest) = self.kv.oldest_resident() else { return Err(fault) };
                    self.move_to_host(oldest).await?;
                }
                other => return other,
            }
        }
    }

    /// Allocates the window that segments on the host are read through, one layer at a time, unless it is there.
    async fn make_window(&mut self) -> Result<(), Error> {
        if self.kv.window.is_none() {
            let before = self.table.len();
            let window = self.kv.declare_window(&mut self.table);
            self.allocate_from(before).await?;
            self.kv.window = Some(window);
        }
        Ok(())
    }

    /// Copies a segment of all layers to the host and frees its buffers.
    async fn move_to_host(&mut self, number: usize) -> Result<(), Error> {
        self.prepared.clear();
        for (layer, segment) in self.kv.segment(number).into_iter().enumerate() {
            let mut bytes = self.memory.read(segment.k).await?;
            bytes.extend(self.memory.read(segment.v).await?);
            let Some(spill) = &mut self.spill else { return Ok(()) };
            let piece = spill.put(bytes)?;
            self.kv.moved(number, layer, piece);
            self.free(segment);
        }
        tracing::info!("segment {number} of the KV cache moved to the host");
        Ok(())
    }

    /// Frees a segment's buffers on the GPU.
    fn free(&mut self, segment: Segment) {
        for buffer in [segment.k, segment.v] {
            self.memory.release(buffer.id);
            self.table.release(buffer.id);
        }
    }

    /// After a truncation the last segment in use may be on the host, where nothing can be appended: it comes back, in
    /// place of the unused ones after it.
    async fn bring_back(&mut self, number: usize) -> Result<(), Error> {
        self.prepared.clear();
        let mut cut = self.kv.cut(number).into_iter();
        let wanted = cut.next().unwrap_or_default();
        for unused in cut.flatten() {
            match (unused.host, &mut self.spill) {
                (Some(piece), Some(spill)) => spill.forget(piece),
                _ => self.free(unused),
            }
        }
        if let Err(error) = self.grow(wanted.first().map(|segment| segment.len)).await {
            // Nothing is there any more for these positions.
            self.truncate(self.kv.capacity() as usize);
            return Err(error);
        }
        let mut bytes = Vec::new();
        for (old, new) in wanted.iter().zip(self.kv.segment(number)) {
            let (Some(piece), Some(spill)) = (old.host, &mut self.spill) else { continue };
            let mut from = 0;
            for buffer in [new.k, new.v] {
                bytes.resize(buffer.bytes as usize, 0);
                spill.read(piece, from, &mut bytes)?;
                self.memory.write(buffer, 0, &bytes);
                from += buffer.bytes;
            }
            spill.forget(piece);
            self.engine().gpu().finish().await?;
        }
        Ok(())
    }
}
