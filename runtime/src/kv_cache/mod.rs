//! The KV cache of a sequence: segments of positions on the GPU, those that it has no room for on
//! the host, and how both become files.
//!
//! A [`KvCache`] alone decides where keys and values are. Whoever records a plan asks
//! [`KvCache::segments`]; whoever appends to the cache calls [`KvCache::reserve`] first.

mod access;
mod grow;
pub(crate) mod pages;
mod segments;
pub(crate) mod snapshot;
mod spill;

use std::path::PathBuf;

use thiserror::Error;

use crate::gpu::GpuError;
pub(crate) use segments::KvSegments;
pub use snapshot::{SnapshotError, SnapshotHeader};
use spill::Spill;
pub use spill::SpillError;

/// The keys and values of a sequence.
pub(crate) struct KvCache {
    segments: KvSegments,
    /// Segments that the GPU has no room for; none where they may not leave it.
    spill: Option<Spill>,
}

/// The place for KV cache that does not fit on the GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Spilling {
    /// Growing fails.
    Never,
    /// Its oldest segments move to host memory, as many bytes as this, and then to a file. Each
    /// step then brings them to the GPU and back out: exact, and slower.
    Host {
        /// Bytes of host memory at most.
        memory: u64,
    },
}

impl Default for Spilling {
    fn default() -> Self {
        Self::Host { memory: 8 << 30 }
    }
}

/// Why the KV cache can't grow, be read or be written.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum KvCacheError {
    /// The GPU.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// The host.
    #[error(transparent)]
    Spill(#[from] SpillError),
}

impl KvCache {
    /// A cache of these segments. What the GPU has no room for goes where `spilling` says; a file
    /// is made in `folder`, else where temporary files belong.
    pub fn new(segments: KvSegments, spilling: Spilling, folder: Option<PathBuf>) -> Self {
        let spill = match spilling {
            Spilling::Never => None,
            Spilling::Host { memory } => Some(Spill::new(memory, folder)),
        };
        Self { segments, spill }
    }

    /// Where keys and values are.
    pub fn segments(&self) -> &KvSegments {
        &self.segments
    }

    /// Bytes on the GPU.
    pub fn bytes(&self) -> u64 {
        self.segments.bytes()
    }

    /// Bytes on the host.
    pub fn spilled_bytes(&self) -> u64 {
        self.spill.as_ref().map_or(0, Spill::bytes)
    }

    /// Every write to the file for spilled bytes fails, as on a disk that is full.
    #[cfg(all(test, target_os = "linux"))]
    pub fn spill_to_full_disk(&mut self) {
        self.spill = Some(Spill::to_full_disk());
    }
}
