//! Keys and values of some positions, wherever they are: read, written, and streamed to the GPU.

use std::ops::Range;

use godwit_shaders::{BufferRef, PAGE};

use super::pages::PageId;
use super::segments::Part;
use super::{KvCache, KvCacheError, SpillError};
use crate::gpu::GpuMemory;

impl KvCache {
    /// Where the keys and values of a page are: for each layer, keys then values. All pages are on
    /// the GPU.
    pub fn page_parts(&self, page: PageId) -> Vec<BufferRef> {
        let first = page * PAGE;
        let parts = self.segments.parts(first..first + PAGE);
        parts.into_iter().map(|part| part.gpu).collect()
    }

    /// Hands over keys and values of positions in the order of a snapshot: layer by layer, keys
    /// then values, whole tiles of 32 positions.
    ///
    /// # Errors
    /// The GPU or the host fails, or `each` does.
    pub async fn read<E: From<KvCacheError>>(
        &self,
        memory: &GpuMemory,
        positions: Range<u32>,
        each: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        // All are on their way before the first is waited for.
        let mut parts = Vec::new();
        for part in self.parts(positions) {
            let readback = match part.host {
                None => Some(
                    memory
                        .start_read(part.gpu)
                        .await
                        .map_err(KvCacheError::from)?,
                ),
                Some(_) => None,
            };
            parts.push((part, readback));
        }
        let mut bytes = Vec::new();
        for (part, readback) in parts {
            match (readback, part.host) {
                (Some(mut readback), _) => {
                    bytes = readback.finish().await.map_err(KvCacheError::from)?
                }
                (None, Some((allocation, from))) => {
                    bytes.resize(part.gpu.bytes as usize, 0);
                    self.read_spilled(allocation, from, &mut bytes)
                        .map_err(KvCacheError::from)?;
                }
                (None, None) => {}
            }
            each(&bytes)?;
        }
        Ok(())
    }

    /// Writes keys and values of positions, in the same order. `next` fills the bytes.
    ///
    /// # Errors
    /// The GPU or the host fails, or `next` does.
    pub async fn write<E: From<KvCacheError>>(
        &mut self,
        memory: &GpuMemory,
        positions: Range<u32>,
        next: &mut impl FnMut(&mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut bytes = Vec::new();
        for part in self.parts(positions) {
            bytes.resize(part.gpu.bytes as usize, 0);
            next(&mut bytes)?;
            match (part.host, &mut self.spill) {
                (Some((allocation, from)), Some(spill)) => {
                    spill
                        .write(allocation, from, &bytes)
                        .map_err(KvCacheError::from)?;
                }
                _ => memory
                    .write(part.gpu, 0, &bytes)
                    .await
                    .map_err(KvCacheError::from)?,
            }
        }
        // Copies on their way to the GPU don't pile up.
        memory.gpu().finish().await.map_err(KvCacheError::from)?;
        Ok(())
    }

    /// Fills positions that are on the GPU with these keys and values, over and over.
    ///
    /// # Errors
    /// The GPU fails.
    pub async fn fill(
        &mut self,
        memory: &GpuMemory,
        positions: Range<u32>,
        pattern: &[Vec<u32>; 2],
    ) -> Result<(), KvCacheError> {
        for layer in self.segments.parts(positions).chunks_exact(2) {
            for (part, words) in layer.iter().zip(pattern) {
                let bytes: &[u8] = bytemuck::cast_slice(words);
                for at in (0..part.gpu.bytes).step_by(bytes.len()) {
                    let len = bytes.len().min((part.gpu.bytes - at) as usize);
                    memory.write(part.gpu, at, &bytes[..len]).await?;
                }
            }
            memory.gpu().finish().await?;
        }
        Ok(())
    }

    /// Copies spilled bytes, from `from` on in an allocation, into `into`.
    ///
    /// # Errors
    /// They are not there, or the file can't be read.
    pub fn read_spilled(
        &self,
        allocation: u32,
        from: u64,
        into: &mut [u8],
    ) -> Result<(), SpillError> {
        let spill = self.spill.as_ref().ok_or(SpillError::Gone(allocation))?;
        spill.read(allocation, from, into)
    }

    /// Where keys and values of positions are, in the order of a snapshot.
    fn parts(&self, positions: Range<u32>) -> Vec<Part> {
        self.segments
            .parts(positions.start..positions.end.next_multiple_of(32))
    }
}
