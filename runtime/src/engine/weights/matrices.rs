//! Matrices: their rows packed into tiles, a few at a time, and written to the GPU in shards.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use godwit_shaders::weights::TILE;
use godwit_shaders::weights::pack_tile;
use godwit_shaders::{BufferRef, Matrix, Shard, WeightFormat};

use super::Loader;
use crate::checkpoint::check_finite;
use crate::error::Error;
use crate::gguf::Tensor;

/// Bytes packed at a time.
const CHUNK: u64 = 8 << 20;
/// The same for a host's device, whose next frame waits for the copy of them.
const CHUNK_SHARED: u64 = 1 << 20;

impl<'a> Loader<'a> {
    pub(super) async fn matrix(
        &mut self,
        name: &str,
        rows: u32,
        width: u32,
    ) -> Result<Matrix, Error> {
        self.stack(&[(name, rows)], width).await
    }

    /// One matrix of several tensors' rows, one behind the other. Neighbours that are stored alike
    /// share shards.
    pub(super) async fn stack(
        &mut self,
        parts: &[(&str, u32)],
        width: u32,
    ) -> Result<Matrix, Error> {
        let rows = parts.iter().map(|(_, rows)| rows).sum();
        let mut matrix = Matrix {
            rows,
            width,
            shards: Vec::new(),
        };
        let mut alike: Vec<Rows<'a>> = Vec::new();
        for &(name, rows) in parts {
            let part = self.rows(name, rows, width)?;
            if alike.last().is_some_and(|last| {
                last.format() != part.format() || !last.count.is_multiple_of(TILE as u32)
            }) {
                self.shards(&mut matrix, &std::mem::take(&mut alike))
                    .await?;
            }
            alike.push(part);
        }
        self.shards(&mut matrix, &alike).await?;
        Ok(matrix)
    }

    /// The gate and the up projection: one matrix whose tiles alternate where that can be, and if
    /// they are to be `fused`.
    pub(super) async fn gate_and_up(
        &mut self,
        gate: &str,
        up: &str,
        rows: u32,
        width: u32,
        fused: bool,
    ) -> Result<(Matrix, Option<Matrix>), Error> {
        let parts = [self.rows(gate, rows, width)?, self.rows(up, rows, width)?];
        if !fused || parts[0].format() != parts[1].format() || !rows.is_multiple_of(TILE as u32) {
            return Ok((
                self.matrix(gate, rows, width).await?,
                Some(self.matrix(up, rows, width).await?),
            ));
        }
        let tiles = (0..rows)
            .step_by(TILE)
            .flat_map(|first| parts.map(|part| part.part(first, TILE as u32)));
        let mut matrix = Matrix {
            rows: 2 * rows,
            width,
            shards: Vec::new(),
        };
        self.shards(&mut matrix, &tiles.collect::<Vec<_>>()).await?;
        Ok((matrix, None))
    }

    /// A tensor's rows, checked.
    fn rows(&self, name: &str, rows: u32, width: u32) -> Result<Rows<'a>, Error> {
        let tensor = self.tensor(name, &[width, rows])?;
        let bytes = tensor
            .format
            .bytes(width.into())
            .filter(|_| width.is_multiple_of(32));
        let bytes = bytes.ok_or_else(|| Error::TensorWidth {
            name: self.model.checkpoint().own_name(name),
            width,
        })?;
        Ok(Rows {
            tensor,
            bytes,
            first: 0,
            count: rows,
        })
    }

    /// Writes rows of one format to the GPU, and appends their shards to `matrix`. All parts but
    /// the last are whole tiles.
    async fn shards(&mut self, matrix: &mut Matrix, parts: &[Rows<'a>]) -> Result<(), Error> {
        let Some(format) = parts.first().map(Rows::format) else {
            return Ok(());
        };
        let tile_bytes = Matrix::tile_bytes(format, matrix.width);
        let caps = self.gpu.caps();
        // An even number of tiles: pairs of them stay together.
        let most = caps.max_binding.min(caps.max_buffer);
        let first = matrix
            .shards
            .last()
            .map_or(0, |shard| shard.first + shard.rows);
        let name = parts[0].tensor.name.as_str();
        let mut queue: VecDeque<Rows<'a>> = parts.iter().copied().collect();
        for (offset, rows) in Matrix::shard_rows(
            format,
            parts.iter().map(|p| p.count).sum(),
            matrix.width,
            most,
        ) {
            let tiles = rows.div_ceil(TILE as u32);
            let name = format!("{name}[{}]", first + offset);
            let bytes = u64::from(tiles) * tile_bytes;
            let buffer = self
                .buffers
                .allocate(|table| table.declare(name, bytes))
                .await?;
            self.pack(format, matrix.width, buffer, rows, &mut queue)
                .await?;
            matrix.shards.push(Shard {
                format,
                buffer,
                first: first + offset,
                rows,
            });
        }
        Ok(())
    }

    /// Packs `rows` rows from the front of `queue` into a buffer, a few tiles at a time: the packed
    /// copy stays small, however large the matrix.
    async fn pack(
        &mut self,
        format: WeightFormat,
        width: u32,
        buffer: BufferRef,
        rows: u32,
        queue: &mut VecDeque<Rows<'a>>,
    ) -> Result<(), Error> {
        let tile_bytes = Matrix::tile_bytes(format, width);
        let chunk = match self.gpu.is_shared() {
            true => CHUNK_SHARED,
            false => CHUNK,
        };
        let at_once = (chunk / tile_bytes).max(1) as u32 * TILE as u32;
        let mut words = Vec::new();
        let mut row = 0;
        while row < rows {
            let chunk = at_once.min(rows - row);
            let mut stored = Vec::new();
            let (mut missing, mut row_bytes) = (chunk, 0);
            while missing > 0 {
                let Some(next) = queue.pop_front() else { break };
                let own = next.part(0, next.count.min(missing));
                if own.count < next.count {
                    queue.push_front(next.part(own.count, next.count - own.count));
                }
                stored.push((own, self.model.checkpoint().data(own.tensor, own.range())?));
                (missing, row_bytes) = (missing - own.count, own.bytes);
            }
            words.resize(
                (u64::from(chunk.div_ceil(TILE as u32)) * tile_bytes / 4) as usize,
                0,
            );
            let packed = words.chunks_exact_mut(tile_bytes as usize / 4);
            let tiles = stored
                .iter()
                .flat_map(|(_, stored)| stored.chunks(TILE * row_bytes as usize));
            let all_finite = AtomicBool::new(true);
            let pack = || {
                for_each(packed.zip(tiles), |(tile, rows)| {
                    pack_tile(format, width as usize, rows, tile);
                    if !format.is_finite(rows) {
                        all_finite.store(false, Ordering::Relaxed);
                    }
                });
            };
            match &mut self.hashes {
                None => pack(),
                Some(hashes) => both(pack, || {
                    stored.iter().for_each(|(rows, bytes)| {
                        hashes.add(rows.tensor, rows.range().start, bytes)
                    });
                }),
            }
            if !all_finite.into_inner() {
                for (rows, stored) in &stored {
                    check_finite(
                        self.model.checkpoint(),
                        rows.tensor,
                        rows.first.into(),
                        stored,
                    )?;
                }
            }
            self.advance(u64::from(chunk) * row_bytes).await?;
            self.buffers
                .memory()
                .write(
                    buffer,
                    u64::from(row) / TILE as u64 * tile_bytes,
                    bytemuck::cast_slice(&words),
                )
                .await?;
            row += chunk;
        }
        Ok(())
    }
}

/// Does something with every item, on all cores where there are threads.
#[cfg(not(target_arch = "wasm32"))]
fn for_each<T: Send>(items: impl Iterator<Item = T>, each: impl Fn(T) + Sync + Send) {
    use rayon::prelude::*;
    items.collect::<Vec<_>>().into_par_iter().for_each(each);
}

#[cfg(target_arch = "wasm32")]
fn for_each<T>(items: impl Iterator<Item = T>, each: impl Fn(T)) {
    items.for_each(each);
}

/// Does two things, at the same time where there are threads.
#[cfg(not(target_arch = "wasm32"))]
fn both(a: impl FnOnce() + Send, b: impl FnOnce() + Send) {
    rayon::join(a, b);
}

#[cfg(target_arch = "wasm32")]
fn both(a: impl FnOnce(), b: impl FnOnce()) {
    a();
    b();
}

/// Consecutive rows of a tensor.
#[derive(Clone, Copy)]
struct Rows<'a> {
    tensor: &'a Tensor,
    /// Bytes of a stored row.
    bytes: u64,
    first: u32,
    count: u32,
}

impl Rows<'_> {
    fn format(&self) -> WeightFormat {
        self.tensor.format
    }

    /// `count` of these rows, from `first` on.
    fn part(self, first: u32, count: u32) -> Self {
        Self {
            first: self.first + first,
            count,
            ..self
        }
    }

    /// Where they are in the tensor's bytes.
    fn range(&self) -> Range<u64> {
        let begin = u64::from(self.first) * self.bytes;
        begin..begin + u64::from(self.count) * self.bytes
    }
}
