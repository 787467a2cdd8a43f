//! Weight matrices on the GPU: row shards of one format each, none larger than a binding.

use super::{GROUP, TILE, WeightFormat};
use crate::buffers::BufferRef;

/// Consecutive rows of a matrix in one buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// How the weights are stored.
    pub format: WeightFormat,
    /// The packed words: whole tiles of [`TILE`] rows, the last padded with zeros.
    pub buffer: BufferRef,
    /// First row of the matrix in the shard.
    pub first: u32,
    /// Number of rows.
    pub rows: u32,
}

/// A weight matrix `[rows, width]` on the GPU.
///
/// Its shards may differ in format, because projections of the same vector form one matrix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// Rows: the length of the output vectors.
    pub rows: u32,
    /// Columns: the length of the input vectors. A multiple of [`GROUP`].
    pub width: u32,
    /// The shards, in order of rows.
    pub shards: Vec<Shard>,
}

impl Matrix {
    /// Bytes of a packed tile of [`TILE`] rows.
    pub fn tile_bytes(format: WeightFormat, width: u32) -> u64 {
        (format.row_words(width as usize) * TILE * 4) as u64
    }

    /// The shards of a matrix as `(first row, rows)`, each of at most `max_binding` bytes.
    pub fn shard_rows(
        format: WeightFormat,
        rows: u32,
        width: u32,
        max_binding: u64,
    ) -> Vec<(u32, u32)> {
        // Pairs of tiles stay together for the epilogue SwiGlu of matmul.
        let tiles = (max_binding / Self::tile_bytes(format, width) / 2 * 2).max(2);
        let most =
            u32::try_from(tiles * TILE as u64).unwrap_or(u32::MAX / TILE as u32 * TILE as u32);
        (0..rows)
            .step_by(most as usize)
            .map(|first| (first, most.min(rows - first)))
            .collect()
    }

    /// Groups of [`GROUP`] weights in a row.
    pub fn groups_per_row(&self) -> u32 {
        self.width / GROUP as u32
    }
}

/// Packs up to [`TILE`] stored rows, which follow each other in `rows`. Missing rows become zeros.
pub fn pack_tile(format: WeightFormat, width: usize, rows: &[u8], out: &mut [u32]) {
    let row_bytes = width / format.block_len() * format.block_bytes();
    let mut words = vec![0; format.row_words(width)];
    out.fill(0);
    for (r, row) in rows.chunks_exact(row_bytes).enumerate() {
        format.pack_row(row, &mut words);
        for (interleaved, words) in out[4 * r..].chunks_mut(4 * TILE).zip(words.chunks_exact(4)) {
            interleaved[..4].copy_from_slice(words);
        }
    }
}

/// Packs a whole matrix, which is stored row by row.
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
