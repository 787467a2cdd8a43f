//! The KV cache as kernels see it: segments of consecutive positions, each with its own buffers.

use crate::plan::BufferRef;

/// Positions of a layer's KV cache in one segment.
///
/// Halves, two to a word. Keys: 32 positions interleaved, word `w` of KV head `h` at position `s` of the segment is at
/// `((s / 32 * kv_heads + h) * head_dim / 2 + w) * 32 + s % 32`. Values: `(s * kv_heads + h) * head_dim / 2 + w`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Keys.
    pub k: BufferRef,
    /// Values.
    pub v: BufferRef,
    /// First position.
    pub first: u32,
    /// Positions; a multiple of 32.
    pub len: u32,
}

/// The shape of attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Query heads.
    pub heads: u32,
    /// Key and value heads; divides `heads`.
    pub kv_heads: u32,
    /// Floats in a head; even.
    pub head_dim: u32,
}

impl Heads {
    /// Bytes of the keys, and again of the values, of one position in one layer.
    pub fn kv_bytes(&self) -> u64 {
        u64::from(self.kv_heads) * u64::from(self.head_dim) * 2
    }
}
