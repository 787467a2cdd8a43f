//! Interruptions, for tests: the n-th time that the runtime waits for the GPU, allocates, or reads
//! or writes spilled bytes, that fails, or does not end. Each thread has its own.

use std::cell::Cell;
use std::future::pending;

use crate::gpu::GpuError;
use crate::kv_cache::SpillError;

/// The effect of an interruption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An error is returned.
    Fail,
    /// The future stays pending, to be dropped there.
    Hang,
}

thread_local! {
    static NEXT: Cell<Option<(u32, Kind)>> = const { Cell::new(None) };
}

/// Has the point after the next `points` ones interrupted.
pub(crate) fn arm(points: u32, kind: Kind) {
    NEXT.set(Some((points, kind)));
}

/// Ends that. Returns whether the point has been reached.
pub(crate) fn disarm() -> bool {
    matches!(NEXT.take(), Some((u32::MAX, _)))
}

/// Passes a point.
fn pass() -> Option<Kind> {
    let (left, kind) = NEXT.get()?;
    match left {
        u32::MAX => None,
        0 => {
            NEXT.set(Some((u32::MAX, kind)));
            Some(kind)
        }
        _ => {
            NEXT.set(Some((left - 1, kind)));
            None
        }
    }
}

async fn at(error: GpuError) -> Result<(), GpuError> {
    match pass() {
        None => Ok(()),
        Some(Kind::Fail) => Err(error),
        Some(Kind::Hang) => pending().await,
    }
}

/// A point where the host waits for the GPU.
pub(crate) async fn at_wait() -> Result<(), GpuError> {
    at(GpuError::Failed {
        cause: "interrupted by a test".into(),
    })
    .await
}

/// A point where memory of the GPU is allocated.
pub(crate) async fn at_allocation() -> Result<(), GpuError> {
    at(GpuError::OutOfMemory {
        what: "a test".into(),
        bytes: 1,
    })
    .await
}

/// A point where spilled bytes are read or written. Nothing is awaited there.
pub(crate) fn at_disk() -> Result<(), SpillError> {
    match NEXT.get() {
        Some((_, Kind::Fail)) if pass().is_some() => Err(SpillError::Full),
        _ => Ok(()),
    }
}

/// Whether the point has been reached.
pub(crate) fn has_struck() -> bool {
    matches!(NEXT.get(), Some((u32::MAX, _)))
}
