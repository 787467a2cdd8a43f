//! Errors that the driver reports outside of any call: kept until an operation fails with them.

use std::sync::{Mutex, PoisonError};

use crate::gpu::GpuError;

/// Errors that the driver reported and no scope caught.
#[derive(Default)]
pub(super) struct Errors {
    /// The first error that the device does not recover from: every operation fails with it from
    /// then on.
    pub(super) lasting: Option<GpuError>,
    /// Memory was refused to an operation that nothing waited for. The next one that waits fails
    /// with it, once: what was computed since is wrong, but the device, and all other work on it,
    /// is not.
    refused: Option<GpuError>,
}

impl Errors {
    /// Notes an error that no scope caught.
    pub(super) fn note(errors: &Mutex<Self>, error: wgpu::Error) {
        let mut errors = errors.lock().unwrap_or_else(PoisonError::into_inner);
        let cause = error.to_string();
        match error {
            wgpu::Error::OutOfMemory { .. } => errors
                .refused
                .get_or_insert(GpuError::MemoryRefused { cause }),
            _ => errors.lasting.get_or_insert(GpuError::Failed { cause }),
        };
    }

    /// The lasting error every time, a refusal of memory once.
    pub(super) fn take(errors: &Mutex<Self>) -> Option<GpuError> {
        let mut errors = errors.lock().unwrap_or_else(PoisonError::into_inner);
        errors.lasting.clone().or_else(|| errors.refused.take())
    }
}
