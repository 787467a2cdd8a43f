//! The KV cache as kernels see it: segments of consecutive positions, each with its own buffers.
//!
//! [`KvFormat`] says how keys and values are stored. The WGSL of this folder decodes them.

mod format;
#[cfg(feature = "testing")]
mod hadamard;
mod layout;
mod paged;

use crate::plan::BufferRef;

pub use format::{KvFormat, KvType, UnknownKvType};
#[cfg(feature = "testing")]
pub(crate) use hadamard::hadamard;
#[cfg(feature = "testing")]
pub(crate) use layout::Layout;
pub use layout::noise;
pub use paged::{BatchRow, PAGE, WorkItem};

/// The shape of attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionShape {
    /// Query heads.
    pub heads: u32,
    /// Key and value heads; divides `heads`.
    pub kv_heads: u32,
    /// Floats in a head; a multiple of 16, 128 at most.
    pub head_dim: u32,
}

impl AttentionShape {
    /// Query heads that share a KV head.
    pub fn heads_per_kv_head(&self) -> u32 {
        self.heads / self.kv_heads
    }

    /// Floats of a token's queries, keys and values together.
    pub fn qkv_width(&self) -> u32 {
        (self.heads + 2 * self.kv_heads) * self.head_dim
    }

    /// The factor of scores: `1 / sqrt(head_dim)` (Vaswani et al. 2017).
    pub fn score_scale(&self) -> f32 {
        1.0 / (self.head_dim as f32).sqrt()
    }
}

/// Positions of a layer's KV cache in one segment; a position's index in it is its slot.
///
/// A head's vector takes [`KvType::words`] words. Keys are interleaved over 32 slots: word `w` of
/// KV head `h` at slot `s` has index `((s / 32 * kv_heads + h) * words + w) * 32 + s % 32`. That of
/// a value has index `(s * kv_heads + h) * words + w`.
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
    /// The executor's number for keys and values that are on the host. They are uploaded to `k` and
    /// `v`, keys first, before a dispatch reads them. None: they are on the GPU.
    pub host: Option<u32>,
}

/// Positions of a tail block.
///
/// Where a side of the KV cache has 4 bits, a token attends to the positions of its own tail block
/// in f16, because the nearest positions weigh most, and to those of all blocks before as they are
/// cached. So what a token attends to does not depend on how tokens were divided into passes.
pub const TAIL_BLOCK: u32 = 64;

/// The newest positions' keys and values in f16, after their Hadamard transforms.
///
/// Two rings `[len, kv_heads, head_dim]`, of keys, then of values. Position `p` is at `p % len`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct F16Tail {
    /// Both rings.
    pub buffer: BufferRef,
    /// Positions in a ring, a multiple of [`TAIL_BLOCK`]; 0 where the cache needs no tail.
    pub len: u32,
}
