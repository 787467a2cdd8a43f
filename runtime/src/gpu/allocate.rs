//! The one place that takes memory of the device.
//!
//! Every buffer, bind group, query set and pipeline is made inside an [`Allocation`]: a refusal is
//! an out-of-memory error of the operation that asked, which does with less or ends, and nothing
//! else is affected.
//!
//! wgpu loses the device where its own allocations are refused, inside error scopes or not. The
//! largest of them, the staging buffers of `write_buffer`, are therefore made here too
//! (`upload.rs`). Command buffers and descriptor pools remain: kilobytes that wgpu uses again. What
//! a browser refuses outside a scope is noted, and ends the next operation that waits for the
//! device (`Gpu::check`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Gpu, GpuError};

/// How much memory may be taken, and how much is.
///
/// The budget counts what the memory plan ([`MemoryUse`](crate::MemoryUse)) counts: weights, caches
/// and activations. Staging buffers and parameters are a few megabytes beside them.
pub(super) struct Budget {
    most: u64,
    used: Arc<AtomicU64>,
}

impl Budget {
    pub fn new(most: Option<u64>) -> Self {
        Self {
            most: most.unwrap_or(u64::MAX),
            used: Arc::default(),
        }
    }

    pub fn most(&self) -> Option<u64> {
        Some(self.most).filter(|&most| most != u64::MAX)
    }

    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    pub fn take(&self, what: &str, bytes: u64) -> Result<Share, GpuError> {
        let fits = |used: u64| used.checked_add(bytes).filter(|&sum| sum <= self.most);
        match self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
        {
            Ok(_) => Ok(Share {
                bytes,
                used: Arc::clone(&self.used),
            }),
            Err(used) => Err(GpuError::OverBudget {
                what: what.into(),
                bytes,
                used,
                budget: self.most,
            }),
        }
    }
}

/// Memory that was taken; given back when dropped.
pub(super) struct Share {
    bytes: u64,
    used: Arc<AtomicU64>,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Error scopes for all kinds of errors. Between push and pop nothing is awaited: natively scopes
/// belong to a thread, and in a browser to all tasks together.
struct Scopes {
    memory: wgpu::ErrorScopeGuard,
    internal: wgpu::ErrorScopeGuard,
    validation: wgpu::ErrorScopeGuard,
}

impl Scopes {
    fn push(device: &wgpu::Device) -> Self {
        Self {
            memory: device.push_error_scope(wgpu::ErrorFilter::OutOfMemory),
            internal: device.push_error_scope(wgpu::ErrorFilter::Internal),
            validation: device.push_error_scope(wgpu::ErrorFilter::Validation),
        }
    }

    /// Ends the scopes. The future gives the first error that is not about memory, and the first
    /// one that is.
    fn pop(self) -> impl Future<Output = [Option<wgpu::Error>; 2]> + use<> {
        let Self {
            memory,
            internal,
            validation,
        } = self;
        let (validation, internal, memory) = (validation.pop(), internal.pop(), memory.pop());
        async move {
            let (validation, internal) = (validation.await, internal.await);
            [internal.or(validation), memory.await]
        }
    }
}

/// The error scopes around the making of an object.
pub(super) struct Allocation {
    gpu: Gpu,
    what: String,
    bytes: u64,
    scopes: Scopes,
}

impl Allocation {
    /// Ends the scopes. The future says what the device has against the object.
    pub fn end(self) -> impl Future<Output = Result<(), GpuError>> + use<> {
        let Self {
            gpu,
            what,
            bytes,
            scopes,
        } = self;
        let errors = scopes.pop();
        async move {
            match errors.await {
                [None, None] => Ok(()),
                // What else the driver reported belongs to the operations that wait for it.
                [Some(error), _] => Err(gpu.lost().unwrap_or(GpuError::Failed {
                    cause: error.to_string(),
                })),
                [None, Some(_)] => Err(GpuError::OutOfMemory { what, bytes }),
            }
        }
    }
}

impl Gpu {
    /// Begins to make an object of so many bytes; 0: the driver knows how many.
    ///
    /// # Errors
    /// The device is lost: it would make objects, and never use them. Or a test asks for a
    /// refusal.
    pub(super) fn begin_allocation(&self, what: &str, bytes: u64) -> Result<Allocation, GpuError> {
        #[cfg(test)]
        if self.inner.refusal.is_due() {
            return Err(GpuError::OutOfMemory {
                what: what.into(),
                bytes,
            });
        }
        if let Some(lost) = self.known_loss() {
            return Err(lost);
        }
        let device = &self.inner.device;
        Ok(Allocation {
            gpu: self.clone(),
            what: what.into(),
            bytes,
            scopes: Scopes::push(device),
        })
    }

    /// Makes calls that report errors outside of any allocation. On a shared device the errors are
    /// caught here and noted, because no handler of Godwit's is there to note them. A browser
    /// reports them later, to the host's handler.
    pub(super) fn catch<T>(&self, calls: impl FnOnce() -> T) -> T {
        if !self.inner.is_shared || cfg!(target_arch = "wasm32") {
            return calls();
        }
        let scopes = Scopes::push(&self.inner.device);
        let result = calls();
        // Natively the errors are known when the scopes end.
        let errors = std::pin::pin!(scopes.pop());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        if let std::task::Poll::Ready(errors) = errors.poll(&mut context) {
            errors
                .into_iter()
                .flatten()
                .for_each(|error| self.note_error(error));
        }
        result
    }

    /// Makes an object of so many bytes; 0: the driver knows how many.
    ///
    /// # Errors
    /// There is no memory, or the device does not make such objects.
    pub(super) async fn allocate<T>(
        &self,
        what: &str,
        bytes: u64,
        make: impl FnOnce(&wgpu::Device) -> T,
    ) -> Result<T, GpuError> {
        let allocation = self.begin_allocation(what, bytes)?;
        let made = make(&self.inner.device);
        allocation.end().await?;
        #[cfg(test)]
        crate::interrupt::at_allocation().await?;
        Ok(made)
    }

    /// Makes a buffer that the host has not mapped.
    ///
    /// # Errors
    /// As [`Gpu::allocate`].
    pub(super) async fn create_buffer(
        &self,
        name: &str,
        bytes: u64,
        usage: wgpu::BufferUsages,
    ) -> Result<wgpu::Buffer, GpuError> {
        let mapped_at_creation = false;
        let descriptor = wgpu::BufferDescriptor {
            label: Some(name),
            size: bytes,
            usage,
            mapped_at_creation,
        };
        let made = self.allocate(name, bytes, |device| device.create_buffer(&descriptor));
        self.inner.profiler.count_buffer();
        made.await
    }
}

/// Refuses one allocation, for tests.
#[cfg(test)]
#[derive(Default)]
pub(super) struct Refusal {
    /// Allocations up to the one that is refused; 0: none is.
    left: AtomicU64,
}

#[cfg(test)]
impl Refusal {
    fn is_due(&self) -> bool {
        let count_down = |left: u64| left.checked_sub(1);
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, count_down)
            == Ok(1)
    }
}

#[cfg(test)]
impl Gpu {
    /// Refuses the `nth` allocation from now on; 0: none. Returns whether the refusal that
    /// was asked for before is still due.
    pub(crate) fn refuse_allocation(&self, nth: u64) -> bool {
        self.inner.refusal.left.swap(nth, Ordering::Relaxed) > 0
    }
}
