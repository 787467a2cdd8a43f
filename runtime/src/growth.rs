//! How a session's KV cache grows: on the GPU as long as there is room, then with its oldest segments on the host.

use godwit_shaders::BufferRef;

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
        if self.kv.host_piece(segments - 1, 0).is_some() {
            self.bring_back(segments).await?;
        }
        let capacity = if wanted > 1 { self.chunk } else { 1 };
        Ok(Pass { capacity, segments, outputs: true })
    }

    /// Allocates the next segment, of the usual length or of fewer positions; all of it or nothing.
    async fn grow(&mut self, most: Option<u32>) -> Result<(), Error> {
        let before = self.table.len();
        self.kv.grow(&mut self.table, most);
        if let Err(error) = self.memory.allocate(&self.table).await {
            self.kv.shrink();
            self.table.truncate(before);
            self.memory.truncate(before);
            return Err(error.into());
        }
        Ok(())
    }

    /// Grows by moving the oldest segments to the host, as few as can be.
    async fn grow_by_spilling(&mut self, fault: Error) -> Result<(), Error> {
        // A window that any segment fits through, one layer at a time. Where there is no room for it, the first segment
        // that leaves makes it.
        let most = self.kv.spilling_len();
        loop {
            let ready = match self.window() {
                Some(_) => self.grow(Some(most)).await,
                None => self.make_window().await,
            };
            match ready {
                Ok(()) if self.kv.capacity() > self.tokens.len() as u32 => return Ok(()),
                Ok(()) => {}
                Err(Error::Gpu(again)) if again.is_out_of_memory() => {
                    let Some(oldest) = self.kv.oldest_resident() else { return Err(fault) };
                    self.move_to_host(oldest).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn window(&self) -> Option<[BufferRef; 2]> {
        self.kv.window
    }

    async fn make_window(&mut self) -> Result<(), Error> {
        let before = self.table.len();
        let window = self.kv.declare_window(&mut self.table);
        if let Err(error) = self.memory.allocate(&self.table).await {
            self.table.truncate(before);
            self.memory.truncate(before);
            return Err(error.into());
        }
        self.kv.window = Some(window);
        Ok(())
    }

    /// Copies a segment of all layers to the host and frees its buffers.
    async fn move_to_host(&mut self, number: usize) -> Result<(), Error> {
        self.prepared.clear();
        for layer in 0..self.kv.layers() {
            let segment = self.kv.segment(number, layer);
            let mut bytes = self.memory.read(segment.k).await?;
            bytes.extend(self.memory.read(segment.v).await?);
            let Some(spill) = &mut self.spill else { return Ok(()) };
            let piece = spill.put(bytes)?;
            self.kv.moved(number, layer, piece);
            for buffer in [segment.k, segment.v] {
                self.memory.release(buffer.id);
                self.table.release(buffer.id);
            }
        }
        tracing::info!("segment {number} of the KV cache moved to the host");
        Ok(())
    }

    /// After a truncation the last segment in use may be on the host, where nothing can be appended: it comes back, in
    /// place of the unused ones after it.
    async fn bring_back(&mut self, segments: usize) -> Result<(), Error> {
        self.prepared.clear();
        let Some(spill) = &mut self.spill else { return Ok(()) };
        for segment in self.kv.cut(segments - 1) {
            match segment.host {
                Some(piece) => spill.forget(piece),
                None => {
                    for buffer in [segment.k, segment.v] {
                        self.memory.release(buffer.id);
                        self.table.release(buffer.id);
                    }
                }
            }
        }
        let pieces = self.kv.pieces(segments - 1);
        let len = self.kv.len_of(segments - 1);
        self.kv.shrink();
        if let Err(error) = self.grow(Some(len)).await {
            // Nothing is there any more for these positions.
            self.tokens.truncate(self.kv.capacity() as usize);
            return Err(error);
        }
        let mut bytes = Vec::new();
        for (layer, piece) in pieces.into_iter().enumerate() {
            let segment = self.kv.segment(segments - 1, layer);
            let mut from = 0;
            for buffer in [segment.k, segment.v] {
                let Some(spill) = &mut self.spill else { return Ok(()) };
                bytes.resize(buffer.bytes as usize, 0);
                spill.read(piece, from, &mut bytes)?;
                self.memory.write(buffer, 0, &bytes);
                from += buffer.bytes;
            }
            if let Some(spill) = &mut self.spill {
                spill.forget(piece);
            }
            self.engine().gpu().finish().await?;
        }
        Ok(())
    }
}
