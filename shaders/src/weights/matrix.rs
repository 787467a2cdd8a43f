//! Weight matrices as kernels see them: row shards, each of one format, none larger than a binding.

use super::{GROUP, TILE, WeightFormat};
use crate::plan::BufferRef;

/// Consecutive rows of a matrix in one buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// How weights are stored.
    pub format: WeightFormat,
    /// Where the words are: whole tiles of [`TILE`] rows, the last padded with zeros.
    pub buffer: BufferRef,
    /// First row.
    pub first: u32,
    /// Rows.
    pub rows: u32,
}

/// A weight matrix `[rows, width]` on the GPU. Its shards may differ in format: projections of the
/// same vector are one matrix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// Rows: the length of the product.
    pub rows: u32,
    /// Columns: the length of the vectors it multiplies. A multiple of [`GROUP`].
    pub width: u32,
    /// Its parts, in order of rows.
    pub shards: Vec<Shard>,
}

impl Matrix {
    /// Bytes on the GPU of a tile of [`TILE`] rows.
    pub fn tile_bytes(format: WeightFormat, width: u32) -> u64 {
        (format.row_words(width as usize) * TILE * 4) as u64
    }

    /// Row ranges `(first, rows)` of the shards of a matrix, each at most `max_binding` bytes.
    pub fn shard_rows(
        format: WeightFormat,
        rows: u32,
        width: u32,
        max_binding: u64,
    ) -> Vec<(u32, u32)> {
        // Pairs of tiles stay together: see `matmul::Epilogue::SwiGlu`.
        let tiles = (max_binding / Self::tile_bytes(format, width) / 2 * 2).max(2);
        let most =
            u32::try_from(tiles * TILE as u64).unwrap_or(u32::MAX / TILE as u32 * TILE as u32);
        (0..rows)
            .step_by(most as usize)
            .map(|first| (first, most.min(rows - first)))
            .collect()
    }

    /// Groups in a row.
    pub fn groups(&self) -> u32 {
        self.width / GROUP as u32
    }
}

/// The GPU words of up to [`TILE`] stored rows, one after the other in `rows`; missing rows become
/// zeros.
pub fn pack_tile(format: WeightFormat, width: usize, rows: &[u8], out: &mut [u32]) {
    let row_bytes = width / format.block_len() * format.block_bytes();
    let mut words = vec![0; format.row_words(width)];
    out.fill(0);
    for (r, row) in rows.chunks_exact(row_bytes).enumerate() {
        format.pack_row(row, &mut words);
        for (four, words) in out[4 * r..].chunks_mut(4 * TILE).zip(words.chunks_exact(4)) {
            four[..4].copy_from_slice(words);
        }
    }
}

/// The GPU words of a whole matrix, row by row in `stored`.
pub fn pack(format: WeightFormat, width: usize, stored: &[u8]) -> Vec<u32> {
    let tile_bytes = TILE * (width / format.block_len() * format.block_bytes());
    let tile_words = TILE * format.row_words(width);
    let mut out = vec![0; stored.len().div_ceil(tile_bytes) * tile_words];
    for (tile, rows) in out
        .chunks_exact_mut(tile_words)
        .zip(stored.chunks(tile_bytes))
    {
        pack_tile(format, width, rows, tile);
    }
    out
}

/// Row `row` of packed words, dequantised.
pub fn unpack_row(format: WeightFormat, width: usize, words: &[u32], row: usize) -> Vec<f32> {
    let len = format.row_words(width);
    let tile = &words[row / TILE * TILE * len..];
    let own: Vec<u32> = (0..len)
        .map(|w| tile[WeightFormat::at(w, row % TILE)])
        .collect();
    let mut out = vec![0.0; width];
    format.dequantize(&format.unpack_row(&own, width), &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capabilities::WEBGPU;
    use crate::kernels::matmul::{Epilogue, Tokens, matmul};
    use crate::plan::{Buffers, Plan};

    /// Llama-3-8B's output head: 282 MiB, and more rows than a dispatch has workgroups in one
    /// dimension.
    #[test]
    fn the_largest_head_fits_the_smallest_device() {
        let (format, rows, width) = (WeightFormat::Q4_K, 128_256, 4096);
        let mut table = Buffers::default();
        let shard = |(first, rows): (u32, u32)| {
            let bytes = u64::from(rows.div_ceil(TILE as u32)) * Matrix::tile_bytes(format, width);
            Shard {
                format,
                buffer: table.declare("shard", bytes),
                first,
                rows,
            }
        };
        let shards: Vec<Shard> = Matrix::shard_rows(format, rows, width, WEBGPU.max_binding)
            .into_iter()
            .map(shard)
            .collect();
        assert_eq!(shards.len(), 3);
        assert_eq!(shards.iter().map(|s| s.rows).sum::<u32>(), rows);
        for (shard, next) in shards.iter().zip(&shards[1..]) {
            assert_eq!(shard.first + shard.rows, next.first);
        }
        assert!(
            shards.iter().all(
                |s| s.buffer.bytes <= WEBGPU.max_binding && s.first.is_multiple_of(TILE as u32)
            )
        );

        let (x, y) = (
            table.declare("x", 4 * u64::from(width)),
            table.declare("y", 4 * u64::from(rows)),
        );
        let head = Matrix {
            rows,
            width,
            shards,
        };
        let mut plan = Plan::default();
        // As if a dispatch had 100 workgroups in a dimension.
        let caps = crate::Capabilities {
            max_workgroups: 100,
            ..WEBGPU
        };
        matmul(
            &mut plan,
            &caps,
            &head,
            x,
            y,
            Tokens::Rows { first: 0, count: 1 },
            Epilogue::Store,
        );
        for dispatch in &plan.dispatches {
            assert!(
                dispatch.workgroups.iter().all(|&n| n <= 100),
                "{:?}",
                dispatch.workgroups
            );
        }
    }
}
