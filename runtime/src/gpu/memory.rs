//! The buffers that plans speak of, on a device.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use godwit_shaders::{BufferRef, Buffers};

use super::pace::Seconds;
use super::{Gpu, GpuError};

/// Buffers on a GPU, in the order of a [`Buffers`] table. A clone shares the buffers that there are.
#[derive(Clone)]
pub struct GpuMemory {
    gpu: Gpu,
    /// None: released.
    buffers: Vec<Option<Arc<Counted>>>,
}

impl GpuMemory {
    /// No buffers yet.
    pub fn new(gpu: &Gpu) -> Self {
        Self { gpu: gpu.clone(), buffers: Vec::new() }
    }

    /// Allocates what `table` has and this doesn't, filled with zeros.
    ///
    /// # Errors
    /// A buffer is larger than the device allows, or memory or the budget runs out; what was allocated before stays.
    pub async fn allocate(&mut self, table: &Buffers) -> Result<(), GpuError> {
        for id in self.buffers.len()..table.len() {
            let Some((name, bytes)) = table.get(id as u32) else { break };
            let most = self.gpu.caps().max_buffer;
            if bytes > most {
                return Err(GpuError::BufferTooLarge { what: name.into(), bytes, most });
            }
            let usage = wgpu::BufferUsages::STORAGE
                | wgpu::BufferUsages::UNIFORM
                | wgpu::BufferUsages::COPY_SRC
                | wgpu::BufferUsages::COPY_DST;
            let share = self.gpu.inner.budget.take(name, bytes)?;
            let buffer = create(&self.gpu, name, bytes, usage).await?;
            self.buffers.push(Some(Arc::new(Counted { buffer, _share: share })));
        }
        Ok(())
    }

    /// Lets go of all buffers from `len` on.
    pub fn truncate(&mut self, len: usize) {
        self.buffers.truncate(len);
    }

    /// Lets go of one buffer. No plan that names it may run any more.
    pub fn release(&mut self, id: u32) {
        if let Some(slot) = self.buffers.get_mut(id as usize) {
            *slot = None;
        }
    }

    /// Writes bytes (a multiple of 4) before whatever is submitted next.
    pub fn write(&self, to: BufferRef, offset: u64, bytes: &[u8]) {
        if let Some(Some(buffer)) = self.buffers.get(to.id as usize) {
            self.gpu.inner.queue.write_buffer(&buffer.buffer, to.offset + offset, bytes);
        }
    }

    /// Copies bytes from buffers to others, after all that was submitted: the first of each pair is as long as the second.
    ///
    /// # Errors
    /// A buffer was released.
    pub fn copy(&self, pairs: &[(BufferRef, BufferRef)]) -> Result<(), GpuError> {
        let mut encoder = self.gpu.inner.device.create_command_encoder(&Default::default());
        for (from, to) in pairs {
            let (source, target) = (self.buffer(from.id)?, self.buffer(to.id)?);
            encoder.copy_buffer_to_buffer(source, from.offset, target, to.offset, from.bytes);
        }
        self.gpu.inner.queue.submit([encoder.finish()]);
        Ok(())
    }

    pub(super) fn buffer(&self, id: u32) -> Result<&wgpu::Buffer, GpuError> {
        let buffer = self.buffers.get(id as usize).and_then(Option::as_ref);
        buffer.map(|counted| &counted.buffer).ok_or_else(|| GpuError::Failed { fault: format!("no buffer {id}") })
    }

    /// Starts copying `from` to where the CPU can read it, after all that was submitted.
    pub async fn start_read(&self, from: BufferRef) -> Result<Readback, GpuError> {
        let staging = self.staging(from.bytes).await?;
        let mut encoder = self.gpu.inner.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(self.buffer(from.id)?, from.offset, &staging, 0, from.bytes);
        let submission = self.gpu.inner.queue.submit([encoder.finish()]);
        Ok(self.readback(staging, from.bytes, submission))
    }

    /// A buffer to read so many bytes back through.
    pub(super) async fn staging(&self, bytes: u64) -> Result<wgpu::Buffer, GpuError> {
        #[cfg(test)]
        crate::interrupt::at_allocation().await?;
        match self.gpu.inner.staging.take(bytes) {
            Some(staging) => Ok(staging),
            None => {
                let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
                create(&self.gpu, "readback", bytes, usage).await
            }
        }
    }

    /// What `submission` copies to `staging`.
    pub(super) fn readback(&self, staging: wgpu::Buffer, bytes: u64, submission: wgpu::SubmissionIndex) -> Readback {
        let (sender, receiver) = futures_channel::oneshot::channel();
        staging.map_async(wgpu::MapMode::Read, ..bytes, move |result| {
            // The receiver is gone where nobody waits any more.
            let _ = sender.send(result);
        });
        let submitted = self.gpu.inner.pace.submitted();
        Readback { gpu: self.gpu.clone(), staging, bytes, submission, submitted, receiver }
    }

    /// Reads bytes back, after all that was submitted.
    ///
    /// # Errors
    /// The device failed.
    pub async fn read(&self, from: BufferRef) -> Result<Vec<u8>, GpuError> {
        self.start_read(from).await?.finish().await
    }
}

/// A buffer, and what it takes of the budget.
struct Counted {
    buffer: wgpu::Buffer,
    _share: Share,
}

/// A browser frees a buffer when it collects garbage, of which it sees little: it must be told.
#[cfg(target_arch = "wasm32")]
impl Drop for Counted {
    fn drop(&mut self) {
        self.buffer.destroy();
    }
}

/// How much memory may be taken, and how much is.
pub(super) struct Budget {
    most: u64,
    used: Arc<AtomicU64>,
}

impl Budget {
    pub fn new(most: Option<u64>) -> Self {
        Self { most: most.unwrap_or(u64::MAX), used: Arc::default() }
    }

    pub fn most(&self) -> Option<u64> {
        Some(self.most).filter(|&most| most != u64::MAX)
    }

    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    fn take(&self, what: &str, bytes: u64) -> Result<Share, GpuError> {
        let fits = |used: u64| used.checked_add(bytes).filter(|&sum| sum <= self.most);
        match self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits) {
            Ok(_) => Ok(Share { bytes, used: Arc::clone(&self.used) }),
            Err(used) => Err(GpuError::OverBudget { what: what.into(), bytes, used, budget: self.most }),
        }
    }
}

/// Memory that was taken; given back when dropped.
struct Share {
    bytes: u64,
    used: Arc<AtomicU64>,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Buffers to read back through, for use again: one is needed for every token.
#[derive(Default)]
pub(super) struct Staging {
    idle: Mutex<Vec<wgpu::Buffer>>,
}

impl Staging {
    /// How many are kept.
    const MOST: usize = 8;

    fn take(&self, bytes: u64) -> Option<wgpu::Buffer> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = idle.iter().position(|buffer| buffer.size() >= bytes)?;
        Some(idle.swap_remove(fits))
    }

    fn give(&self, buffer: wgpu::Buffer) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < Self::MOST {
            idle.push(buffer);
        }
    }
}

/// Bytes on their way from the GPU.
pub struct Readback {
    gpu: Gpu,
    staging: wgpu::Buffer,
    bytes: u64,
    submission: wgpu::SubmissionIndex,
    /// What was submitted before it.
    submitted: Seconds,
    receiver: futures_channel::oneshot::Receiver<Result<(), wgpu::BufferAsyncError>>,
}

impl Readback {
    /// Waits for the bytes, not for what was submitted after them. A caller that drops the future may
    /// call it again, one that was given the bytes may not.
    ///
    /// # Errors
    /// The device failed.
    pub async fn finish(&mut self) -> Result<Vec<u8>, GpuError> {
        #[cfg(test)]
        crate::interrupt::at_wait().await?;
        self.gpu.wait(Some(self.submission.clone()))?;
        let failed = |fault: String| GpuError::Failed { fault };
        match (&mut self.receiver).await {
            Ok(Ok(())) => self.gpu.inner.pace.done(self.submitted),
            Ok(Err(e)) => return Err(self.gpu.fault_or(failed(e.to_string()))),
            Err(_) => return Err(self.gpu.fault_or(failed("the device gave no answer".into()))),
        }
        let bytes = self.staging.get_mapped_range(..self.bytes).map_err(|e| failed(e.to_string()))?.to_vec();
        self.staging.unmap();
        self.gpu.inner.staging.give(self.staging.clone());
        self.gpu.check()?;
        Ok(bytes)
    }
}

async fn create(gpu: &Gpu, name: &str, bytes: u64, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer, GpuError> {
    let device = &gpu.inner.device;
    let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
    let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let buffer = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some(name),
        size: bytes,
        usage,
        mapped_at_creation: false,
    });
    let faults = (validation.pop().await, memory.pop().await);
    #[cfg(test)]
    crate::interrupt::at_allocation().await?;
    match faults {
        (None, None) => Ok(buffer),
        (Some(error), _) => Err(GpuError::Failed { fault: error.to_string() }),
        (None, Some(_)) => Err(GpuError::OutOfMemory { what: name.into(), bytes }),
    }
}
