//! How a KV cache grows: on the GPU as long as there is room, then with its oldest segments on the
//! host.

use godwit_shaders::Segment;

use super::{KvCache, KvCacheError};
use crate::gpu::DeviceBuffers;

/// Bytes of buffers that were freed, and that the GPU may still need, before it is waited for.
const FREED: u64 = 64 << 20;

impl KvCacheError {
    fn is_out_of_memory(&self) -> bool {
        matches!(self, Self::Gpu(error) if error.is_out_of_memory())
    }
}

impl KvCache {
    /// Makes room for the token at `position`: memory for it, on the GPU. Returns how many segments
    /// there are up to it.
    ///
    /// `forget_plans` is called before segments move or come to lie in other buffers: plans that
    /// name the old ones may not run any more, and keep their memory. `forget_in_flight` is called
    /// before segments that lie behind `position` go.
    ///
    /// # Errors
    /// There is no room, neither on the GPU nor on the host. Positions that there was room for
    /// stay.
    pub async fn reserve(
        &mut self,
        buffers: &mut DeviceBuffers,
        position: u32,
        forget_plans: &mut impl FnMut(),
        forget_in_flight: &mut impl FnMut(),
    ) -> Result<usize, KvCacheError> {
        if self.segments.capacity() <= position {
            while self.segments.capacity() <= position {
                match self.grow(buffers, None).await {
                    Err(error) if error.is_out_of_memory() && self.spill.is_some() => {
                        self.grow_by_spilling(buffers, error, forget_plans).await?;
                    }
                    other => other?,
                }
            }
            self.compact(buffers, forget_plans).await?;
        }
        let segments = self.segments.segments_to(position + 1);
        if self.segments.is_on_host(segments - 1) {
            forget_plans();
            forget_in_flight();
            self.bring_back(buffers, segments - 1).await?;
        }
        Ok(segments)
    }

    /// Allocates the next segment, of the usual length or of fewer positions; all of it or nothing.
    async fn grow(
        &mut self,
        buffers: &mut DeviceBuffers,
        most: Option<u32>,
    ) -> Result<(), KvCacheError> {
        let next = buffers
            .allocate(|table| self.segments.declare_next(table, most))
            .await?;
        self.segments.push(next);
        Ok(())
    }

    /// Makes one segment of all, after growth, as long as it is none too large: attention is then
    /// one dispatch a layer. Where there is no room for a layer's keys and values twice, segments
    /// stay as they are: that is slower, and nothing else.
    async fn compact(
        &mut self,
        buffers: &mut DeviceBuffers,
        forget_plans: &mut impl FnMut(),
    ) -> Result<(), KvCacheError> {
        if !self.segments.should_compact() {
            return Ok(());
        }
        forget_plans();
        let mut freed = 0;
        for layer in 0..self.segments.layers() {
            match self.compact_layer(buffers, layer).await {
                Err(error) if error.is_out_of_memory() => {
                    tracing::debug!("segments of the KV cache stay apart: {error}");
                    return Ok(());
                }
                other => freed += other?,
            }
            // Memory is free once the copies are done.
            if freed >= FREED {
                buffers.memory().gpu().finish().await?;
                freed = 0;
            }
        }
        self.segments.compact();
        Ok(())
    }

    /// Copies all segments of a layer into buffers where they lie one after the other, and frees
    /// the old ones. Until that is so in every layer they are segments still. Returns how many
    /// bytes they are.
    async fn compact_layer(
        &mut self,
        buffers: &mut DeviceBuffers,
        layer: usize,
    ) -> Result<u64, KvCacheError> {
        let len = self.segments.capacity();
        let [k, v] = buffers
            .allocate(|table| self.segments.declare(table, layer, 0, len))
            .await?;
        let old = self.segments.layer(layer, usize::MAX);
        self.segments.place(layer, 0..old.len(), [k, v]);
        let new = self.segments.layer(layer, usize::MAX);
        // The last one is new: nothing is in it.
        let written = old.iter().zip(&new).take(old.len() - 1);
        let pairs: Vec<_> = written
            .flat_map(|(old, new)| [(old.k, new.k), (old.v, new.v)])
            .collect();
        buffers.memory().copy(&pairs)?;
        for segment in old {
            self.free(buffers, segment);
        }
        Ok(k.bytes + v.bytes)
    }

    /// Grows by moving the oldest segments to the host, as few as can be.
    async fn grow_by_spilling(
        &mut self,
        buffers: &mut DeviceBuffers,
        cause: KvCacheError,
        forget_plans: &mut impl FnMut(),
    ) -> Result<(), KvCacheError> {
        let len = self.segments.spilling_len();
        loop {
            let grown = match self.make_staging(buffers, len).await {
                Ok(()) => self.grow(buffers, Some(len)).await,
                error => error,
            };
            match grown {
                Err(again) if again.is_out_of_memory() => {
                    let Some(oldest) = self.segments.oldest_resident() else {
                        return Err(cause);
                    };
                    self.spill_front(buffers, oldest, len, forget_plans).await?;
                }
                other => return other,
            }
        }
    }

    /// Allocates the staging buffers that segments on the host are read through, one layer at a
    /// time, unless they are there.
    async fn make_staging(
        &mut self,
        buffers: &mut DeviceBuffers,
        len: u32,
    ) -> Result<(), KvCacheError> {
        if !self.segments.has_staging() {
            let staging = buffers
                .allocate(|table| self.segments.declare_staging(table, len))
                .await?;
            self.segments.set_staging(staging);
        }
        Ok(())
    }

    /// Moves the first `len` positions of a segment to the host. The others become segments as
    /// long, each with buffers of its own, as far as there is memory.
    async fn spill_front(
        &mut self,
        buffers: &mut DeviceBuffers,
        number: usize,
        len: u32,
        forget_plans: &mut impl FnMut(),
    ) -> Result<(), KvCacheError> {
        forget_plans();
        let end = number + self.segments.split(number, len);
        for layer in 0..self.segments.layers() {
            // Buffers that they share are free when all have left.
            for part in number..end {
                self.layer_to_host(buffers, part, layer).await?;
            }
            for part in (number + 1..end).rev() {
                match self.layer_from_host(buffers, part, layer).await {
                    Err(error) if error.is_out_of_memory() => break,
                    other => other?,
                }
            }
        }
        tracing::debug!("segment {number} of the KV cache moved to the host");
        Ok(())
    }

    /// Copies a layer of a segment to the host, and frees its buffers.
    async fn layer_to_host(
        &mut self,
        buffers: &mut DeviceBuffers,
        number: usize,
        layer: usize,
    ) -> Result<(), KvCacheError> {
        let segment = self.segments.segment(number, layer);
        if segment.host.is_none() {
            let mut bytes = buffers.memory().read(segment.k).await?;
            bytes.extend(buffers.memory().read(segment.v).await?);
            let Some(spill) = &mut self.spill else {
                return Ok(());
            };
            let allocation = spill.put(bytes)?;
            self.segments.set_spilled(number, layer, allocation);
            self.free(buffers, segment);
        }
        Ok(())
    }

    /// Copies a layer of a segment back to the GPU.
    async fn layer_from_host(
        &mut self,
        buffers: &mut DeviceBuffers,
        number: usize,
        layer: usize,
    ) -> Result<(), KvCacheError> {
        let segment = self.segments.segment(number, layer);
        let (Some(allocation), Some(spill)) = (segment.host, &mut self.spill) else {
            return Ok(());
        };
        let mut bytes = vec![0; (segment.k.bytes + segment.v.bytes) as usize];
        spill.read(allocation, 0, &mut bytes)?;
        let segments = &self.segments;
        let declare = |table: &mut _| segments.declare(table, layer, number, segment.len);
        let placed = buffers.allocate_filled(declare, async |memory, &[k, v]| {
            let (keys, values) = bytes.split_at(k.bytes as usize);
            memory.write(k, 0, keys).await?;
            memory.write(v, 0, values).await
        });
        let placed = placed.await?;
        self.segments.place(layer, number..number + 1, placed);
        spill.forget(allocation);
        // Copies on their way to the GPU don't pile up.
        Ok(buffers.memory().gpu().finish().await?)
    }

    /// Frees a segment's buffers on the GPU, unless others are in them too.
    fn free(&mut self, buffers: &mut DeviceBuffers, segment: Segment) {
        for buffer in [segment.k, segment.v] {
            if !self.segments.uses(buffer.id) {
                buffers.release(buffer.id);
            }
        }
    }

    /// Brings back a segment that is on the host, where nothing can be appended: after a truncation
    /// it may be the last one in use. The unused ones after it make room.
    async fn bring_back(
        &mut self,
        buffers: &mut DeviceBuffers,
        number: usize,
    ) -> Result<(), KvCacheError> {
        for unused in self.segments.cut(number + 1).into_iter().flatten() {
            match (unused.host, &mut self.spill) {
                (Some(allocation), Some(spill)) => spill.forget(allocation),
                _ => self.free(buffers, unused),
            }
        }
        for layer in 0..self.segments.layers() {
            self.layer_from_host(buffers, number, layer).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use pollster::block_on;

    use crate::executor::Executor;
    use crate::low_level::Synthetic;
    use crate::{ContextSize, Engine, EngineOptions, Gpu, GpuOptions, Sampling, Session};

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
        let engine =
            block_on(Engine::load(gpu, &model, &options, &mut crate::unwatched)).expect("it loads");
        let prompt: Vec<u32> = (0..1010_u32).map(|i| i.wrapping_mul(i) % 509).collect();
        let mut session = block_on(engine.session()).expect("a session");
        let more = |session: &mut Session, kept: usize| -> Vec<u32> {
            session.truncate(kept);
            block_on(session.prefill(&prompt[kept..], &mut crate::unwatched)).expect("room");
            (0..30)
                .map(|_| block_on(session.next(&Sampling::greedy())).expect("a token"))
                .collect()
        };
        let expected = more(&mut session, 0);
        assert_eq!(
            (
                session.executor.kv.segments().segments_to(1100),
                session.executor.kv.segments().capacity()
            ),
            (1, 2048)
        );

        let mut apart = block_on(engine.session()).expect("a session");
        block_on(apart.prefill(&prompt, &mut crate::unwatched)).expect("room");
        let Executor { kv, buffers, .. } = &mut apart.executor;
        block_on(kv.grow(buffers, None)).expect("room");
        block_on(kv.compact_layer(buffers, 0)).expect("room");
        assert_eq!(apart.executor.kv.segments().segments_to(1100), 2);
        assert_eq!(more(&mut apart, 900), expected);

        // The first 448 positions leave, the others of their segment get buffers of their own.
        let Executor {
            kv,
            buffers,
            prepared,
            ..
        } = &mut apart.executor;
        block_on(kv.make_staging(buffers, 448)).expect("room");
        block_on(kv.spill_front(buffers, 0, 448, &mut || prepared.clear())).expect("room");
        assert_eq!(apart.executor.kv.segments().segments_to(1100), 4);
        assert_eq!(apart.spilled_bytes(), 448 * apart.kv_bytes_per_token());
        assert_eq!(more(&mut apart, 900), expected);
        // A layer of the second segment is on the host, and comes back when something is to be
        // appended.
        let Executor { kv, buffers, .. } = &mut apart.executor;
        block_on(kv.layer_to_host(buffers, 1, 1)).expect("room");
        assert_eq!(more(&mut apart, 900), expected);
        assert!(apart.executor.kv.segments().is_on_host(1));
        assert_eq!(more(&mut apart, 500), expected);
        let is_on_host = |number| apart.executor.kv.segments().is_on_host(number);
        assert!(!is_on_host(1) && is_on_host(0));
    }
}
