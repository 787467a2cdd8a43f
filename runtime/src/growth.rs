//! How a session's KV cache grows: on the GPU as long as there is room, then with its oldest
//! segments on the host.

use godwit_shaders::kernels::rope_attention::MAX_SINGLE_PASS_TOKENS;
use godwit_shaders::{Buffers, Segment};

use crate::error::Error;
use crate::gpu::GpuMemory;
use crate::model::Pass;
use crate::session::Session;

/// Bytes of buffers that were let go of, and that the GPU may still need, before it is waited for.
const LET_GO: u64 = 64 << 20;

/// An allocation under way: what is there of it is given back, unless it is complete.
struct Allocation<'a> {
    table: &'a mut Buffers,
    memory: &'a mut GpuMemory,
    /// The first buffer of it.
    before: usize,
    is_complete: bool,
}

impl Drop for Allocation<'_> {
    fn drop(&mut self) {
        if !self.is_complete {
            self.table.truncate(self.before);
            self.memory.truncate(self.before);
        }
    }
}

impl Session {
    /// Makes room in the KV cache for the token at `position`; the pass for up to `wanted` tokens
    /// from there.
    pub(crate) async fn reserve(&mut self, position: u32, wanted: u32) -> Result<Pass, Error> {
        if self.kv.capacity() <= position {
            while self.kv.capacity() <= position {
                match self.grow(None).await {
                    Err(Error::Gpu(fault)) if fault.is_out_of_memory() && self.spill.is_some() => {
                        self.grow_by_spilling(fault.into()).await?;
                    }
                    other => other?,
                }
            }
            self.unite().await?;
        }
        let segments = self.kv.segments_to(position + 1);
        if self.kv.is_on_host(segments - 1) {
            self.bring_back(segments - 1).await?;
        }
        let chunk = if wanted > 1 { self.chunk } else { 1 };
        let single_pass = chunk == 1 && position < MAX_SINGLE_PASS_TOKENS;
        Ok(Pass {
            chunk,
            segments,
            single_pass,
            outputs: true,
        })
    }

    /// Allocates the next segment, of the usual length or of fewer positions; all of it or nothing.
    async fn grow(&mut self, most: Option<u32>) -> Result<(), Error> {
        let before = self.table.len();
        let segments = self.kv.declare_next(&mut self.table, most);
        self.allocate_from(before).await?;
        self.kv.push(segments);
        Ok(())
    }

    /// Allocates what the table has from `before` on; all of it or nothing, also where the future
    /// is dropped.
    pub(crate) async fn allocate_from(&mut self, before: usize) -> Result<(), Error> {
        let mut allocation = Allocation {
            table: &mut self.table,
            memory: &mut self.memory,
            before,
            is_complete: false,
        };
        allocation.memory.allocate(allocation.table).await?;
        allocation.is_complete = true;
        Ok(())
    }

    /// Makes one segment of all, after growth, as long as it is none too large: attention is then
    /// one launch a layer. Where there is no room for a layer's keys and values twice, segments
    /// stay as they are: that is slower, and nothing else.
    async fn unite(&mut self) -> Result<(), Error> {
        if !self.kv.is_divided() {
            return Ok(());
        }
        self.prepared.clear();
        let mut let_go = 0;
        for layer in 0..self.kv.layers() {
            match self.unite_layer(layer).await {
                Err(Error::Gpu(fault)) if fault.is_out_of_memory() => {
                    tracing::info!("segments of the KV cache stay apart: {fault}");
                    return Ok(());
                }
                other => let_go += other?,
            }
            // Memory is free once the copies are done.
            if let_go >= LET_GO {
                self.engine().gpu().finish().await?;
                let_go = 0;
            }
        }
        self.kv.unite();
        Ok(())
    }

    /// Copies all segments of a layer into buffers where they lie one after the other, and frees
    /// the old ones. Until that is so in every layer they are segments still. Returns how many
    /// bytes they are.
    async fn unite_layer(&mut self, layer: usize) -> Result<u64, Error> {
        let before = self.table.len();
        let [k, v] = self
            .kv
            .declare(&mut self.table, layer, 0, self.kv.capacity());
        self.allocate_from(before).await?;
        let old = self.kv.layer(layer, usize::MAX);
        self.kv.place(layer, 0..old.len(), [k, v]);
        let new = self.kv.layer(layer, usize::MAX);
        // The last one is new: nothing is in it.
        let written = old.iter().zip(&new).take(old.len() - 1);
        let pairs: Vec<_> = written
            .flat_map(|(old, new)| [(old.k, new.k), (old.v, new.v)])
            .collect();
        self.memory.copy(&pairs)?;
        for segment in old {
            self.free(segment);
        }
        Ok(k.bytes + v.bytes)
    }

    /// Grows by moving the oldest segments to the host, as few as can be.
    async fn grow_by_spilling(&mut self, fault: Error) -> Result<(), Error> {
        let len = self.kv.spilling_len();
        loop {
            let grown = match self.make_window(len).await {
                Ok(()) => self.grow(Some(len)).await,
                error => error,
            };
            match grown {
                Err(Error::Gpu(again)) if again.is_out_of_memory() => {
                    let Some(oldest) = self.kv.oldest_resident() else {
                        return Err(fault);
                    };
                    self.move_to_host(oldest, len).await?;
                }
                other => return other,
            }
        }
    }

    /// Allocates the window that segments on the host are read through, one layer at a time, unless
    /// it is there.
    async fn make_window(&mut self, len: u32) -> Result<(), Error> {
        if self.kv.window.is_none() {
            let before = self.table.len();
            let window = self.kv.declare_window(&mut self.table, len);
            self.allocate_from(before).await?;
            self.kv.window = Some(window);
        }
        Ok(())
    }

    /// Moves the first `len` positions of a segment to the host. The others become segments as
    /// long, each with buffers of its own, as far as there is memory.
    async fn move_to_host(&mut self, number: usize, len: u32) -> Result<(), Error> {
        self.prepared.clear();
        let end = number + self.kv.divide(number, len);
        for layer in 0..self.kv.layers() {
            // Buffers that they share are free when all have left.
            for part in number..end {
                self.layer_to_host(part, layer).await?;
            }
            for part in (number + 1..end).rev() {
                match self.layer_from_host(part, layer).await {
                    Err(Error::Gpu(fault)) if fault.is_out_of_memory() => break,
                    other => other?,
                }
            }
        }
        tracing::info!("segment {number} of the KV cache moved to the host");
        Ok(())
    }

    /// Copies a layer of a segment to the host, and frees its buffers.
    async fn layer_to_host(&mut self, number: usize, layer: usize) -> Result<(), Error> {
        let segment = self.kv.segment(number, layer);
        if segment.host.is_none() {
            let mut bytes = self.memory.read(segment.k).await?;
            bytes.extend(self.memory.read(segment.v).await?);
            let Some(spill) = &mut self.spill else {
                return Ok(());
            };
            let piece = spill.put(bytes)?;
            self.kv.moved(number, layer, piece);
            self.free(segment);
        }
        Ok(())
    }

    /// Copies a layer of a segment back to the GPU.
    async fn layer_from_host(&mut self, number: usize, layer: usize) -> Result<(), Error> {
        let segment = self.kv.segment(number, layer);
        let (Some(piece), Some(spill)) = (segment.host, &mut self.spill) else {
            return Ok(());
        };
        let mut bytes = vec![0; (segment.k.bytes + segment.v.bytes) as usize];
        spill.read(piece, 0, &mut bytes)?;
        let before = self.table.len();
        let [k, v] = self.kv.declare(&mut self.table, layer, number, segment.len);
        let (keys, values) = bytes.split_at(k.bytes as usize);
        let (table, memory) = (&mut self.table, &mut self.memory);
        let mut allocation = Allocation {
            table,
            memory,
            before,
            is_complete: false,
        };
        allocation.memory.allocate(allocation.table).await?;
        allocation.memory.write(k, 0, keys).await?;
        allocation.memory.write(v, 0, values).await?;
        allocation.is_complete = true;
        drop(allocation);
        self.kv.place(layer, number..number + 1, [k, v]);
        if let Some(spill) = &mut self.spill {
            spill.forget(piece);
        }
        // Copies on their way to the GPU don't pile up.
        Ok(self.engine().gpu().finish().await?)
    }

    /// Frees a segment's buffers on the GPU, unless others are in them too.
    fn free(&mut self, segment: Segment) {
        for buffer in [segment.k, segment.v] {
            if !self.kv.uses(buffer.id) {
                self.memory.release(buffer.id);
                self.table.release(buffer.id);
            }
        }
    }

    /// After a truncation the last segment in use may be on the host, where nothing can be
    /// appended: it comes back, in place of the unused ones after it.
    async fn bring_back(&mut self, number: usize) -> Result<(), Error> {
        self.prepared.clear();
        // Tokens in flight may lie in the segments that go.
        self.transcript.forget_in_flight();
        for unused in self.kv.cut(number + 1).into_iter().flatten() {
            match (unused.host, &mut self.spill) {
                (Some(piece), Some(spill)) => spill.forget(piece),
                _ => self.free(unused),
            }
        }
        for layer in 0..self.kv.layers() {
            self.layer_from_host(number, layer).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use pollster::block_on;

    use super::*;
    use crate::{ContextSize, Engine, EngineOptions, Gpu, GpuOptions, Sampling, Synthetic};

    /// What a lack of memory leaves behind: layers whose segments share buffers beside layers whose
    /// don't, and those on the host beside those that are back.
    #[test]
    fn layers_that_lie_differently_give_the_same_tokens() {
        let model = "tiny:q8_0,vocab=512"
            .parse::<Synthetic>()
            .expect("a shape")
            .model()
            .expect("a model");
        let adapter = std::env::var("GODWIT_ADAPTER").ok();
        let options = GpuOptions {
            adapter,
            webgpu_limits: true,
            ..GpuOptions::default()
        };
        let gpu = block_on(Gpu::open(&options))
            .expect("a GPU, or the software driver that tests/fetch.sh installs");
        let options = EngineOptions {
            context: ContextSize::Tokens(4096),
            ..EngineOptions::default()
        };
        let engine = block_on(Engine::load(gpu, &model, &options, &mut |_| ())).expect("it loads");
        let prompt: Vec<u32> = (0..1010_u32).map(|i| i.wrapping_mul(i) % 509).collect();
        let mut session = block_on(engine.session()).expect("a session");
        let mut go = |_, _| ControlFlow::Continue(());
        let mut more = |session: &mut Session, kept: usize| -> Vec<u32> {
            session.truncate(kept);
            block_on(session.prefill(&prompt[kept..], &mut go)).expect("room");
            (0..30)
                .map(|_| block_on(session.next(&Sampling::greedy())).expect("a token"))
                .collect()
        };
        let expected = more(&mut session, 0);
        assert_eq!(
            (session.kv.segments_to(1100), session.kv.capacity()),
            (1, 2048)
        );

        let mut apart = block_on(engine.session()).expect("a session");
        block_on(apart.prefill(&prompt, &mut |_, _| ControlFlow::Continue(()))).expect("room");
        block_on(apart.grow(None)).expect("room");
        block_on(apart.unite_layer(0)).expect("room");
        assert_eq!(apart.kv.segments_to(1100), 2);
        assert_eq!(more(&mut apart, 900), expected);

        // The first 448 positions leave, the others of their segment get buffers of their own.
        block_on(apart.make_window(448)).expect("room");
        block_on(apart.move_to_host(0, 448)).expect("room");
        assert_eq!(apart.kv.segments_to(1100), 4);
        assert_eq!(apart.spilled_bytes(), 448 * apart.kv_bytes_per_token());
        assert_eq!(more(&mut apart, 900), expected);
        // A layer of the second piece is on the host, and comes back when something is to be
        // appended.
        block_on(apart.layer_to_host(1, 1)).expect("room");
        assert_eq!(more(&mut apart, 900), expected);
        assert!(apart.kv.is_on_host(1));
        assert_eq!(more(&mut apart, 500), expected);
        assert!(!apart.kv.is_on_host(1) && apart.kv.is_on_host(0));
    }
}
