//! The buffers that plans speak of, on a device.

use std::sync::{Arc, Mutex, PoisonError};

use godwit_shaders::{BufferRef, Buffers};

use super::allocate::Share;
use super::submission_scheduler::Seconds;
use super::{Gpu, GpuError};

/// Buffers on a GPU, in the order of a [`Buffers`] table. A clone shares the buffers that there
/// are.
#[derive(Clone)]
pub struct GpuMemory {
    gpu: Gpu,
    /// None: released.
    buffers: Vec<Option<Arc<Counted>>>,
}

impl GpuMemory {
    /// No buffers yet.
    pub fn new(gpu: &Gpu) -> Self {
        Self {
            gpu: gpu.clone(),
            buffers: Vec::new(),
        }
    }

    /// The GPU that the buffers are on.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Allocates what `table` has and this doesn't, filled with zeros.
    ///
    /// # Errors
    /// A buffer is larger than the device allows, or memory or the budget runs out; what was
    /// allocated before stays.
    pub async fn allocate(&mut self, table: &Buffers) -> Result<(), GpuError> {
        for id in self.buffers.len()..table.len() {
            let Some((name, bytes)) = table.get(id as u32) else {
                break;
            };
            let most = self.gpu.caps().max_buffer;
            if bytes > most {
                return Err(GpuError::BufferTooLarge {
                    what: name.into(),
                    bytes,
                    most,
                });
            }
            let usage = wgpu::BufferUsages::STORAGE
                | wgpu::BufferUsages::UNIFORM
                | wgpu::BufferUsages::COPY_SRC
                | wgpu::BufferUsages::COPY_DST;
            let share = self.gpu.inner.budget.take(name, bytes)?;
            let buffer = self.gpu.create_buffer(name, bytes, usage).await?;
            self.buffers.push(Some(Arc::new(Counted {
                buffer,
                _share: share,
            })));
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
    ///
    /// # Errors
    /// The buffer was released, or there is no memory to write through; then nothing is written.
    pub async fn write(&self, to: BufferRef, offset: u64, bytes: &[u8]) -> Result<(), GpuError> {
        let buffer = self.buffer(to.id)?;
        self.gpu
            .inner
            .uploads
            .write(&self.gpu, buffer, to.offset + offset, bytes)
            .await
    }

    /// Copies bytes from buffers to others, after all that was submitted: the first of each pair is
    /// as long as the second.
    ///
    /// # Errors
    /// A buffer was released.
    pub fn copy(&self, pairs: &[(BufferRef, BufferRef)]) -> Result<(), GpuError> {
        let mut encoder = self
            .gpu
            .inner
            .device
            .create_command_encoder(&Default::default());
        for (from, to) in pairs {
            let (source, target) = (self.buffer(from.id)?, self.buffer(to.id)?);
            encoder.copy_buffer_to_buffer(source, from.offset, target, to.offset, from.bytes);
        }
        self.gpu.submit(Some(encoder));
        Ok(())
    }

    pub(super) fn buffer(&self, id: u32) -> Result<&wgpu::Buffer, GpuError> {
        let buffer = self.buffers.get(id as usize).and_then(Option::as_ref);
        buffer
            .map(|counted| &counted.buffer)
            .ok_or_else(|| GpuError::Failed {
                cause: format!("no buffer {id}"),
            })
    }

    /// Starts copying `from` to where the CPU can read it, after all that was submitted.
    pub async fn start_read(&self, from: BufferRef) -> Result<Readback, GpuError> {
        let staging = self.staging(from.bytes).await?;
        let mut encoder = self
            .gpu
            .inner
            .device
            .create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(self.buffer(from.id)?, from.offset, &staging, 0, from.bytes);
        let submission = self.gpu.submit(Some(encoder));
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
                self.gpu.create_buffer("a readback", bytes, usage).await
            }
        }
    }

    /// Makes staging buffers ahead of their use, so that later none is created: `count` to write so
    /// many bytes through, and as many to read through.
    ///
    /// # Errors
    /// There is no memory for them.
    pub(crate) async fn reserve_staging(
        &self,
        count: usize,
        written: u64,
        read: u64,
    ) -> Result<(), GpuError> {
        self.gpu.reserve_uploads(count, written).await?;
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        for _ in 0..count {
            let buffer = self.gpu.create_buffer("a readback", read, usage).await?;
            self.gpu.inner.staging.give(buffer);
        }
        Ok(())
    }

    /// Fills a range with zeros, after all that was submitted.
    ///
    /// # Errors
    /// The buffer was released.
    pub(crate) fn clear(&self, range: BufferRef) -> Result<(), GpuError> {
        let descriptor = wgpu::CommandEncoderDescriptor::default();
        let mut encoder = self.gpu.device().create_command_encoder(&descriptor);
        encoder.clear_buffer(self.buffer(range.id)?, range.offset, Some(range.bytes));
        self.gpu.submit(Some(encoder));
        Ok(())
    }

    /// The range that `submission` copies to `staging`.
    pub(super) fn readback(
        &self,
        staging: wgpu::Buffer,
        bytes: u64,
        submission: wgpu::SubmissionIndex,
    ) -> Readback {
        let (sender, receiver) = futures_channel::oneshot::channel();
        self.gpu.catch(|| {
            staging.map_async(wgpu::MapMode::Read, ..bytes, move |result| {
                // The receiver is gone where nobody waits any more.
                let _ = sender.send(result);
            });
        });
        let submitted = self.gpu.inner.submissions.submitted();
        Readback {
            gpu: self.gpu.clone(),
            staging,
            bytes,
            submission,
            submitted,
            receiver,
            arrived: None,
        }
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

/// A browser frees a buffer when it collects garbage, and a collection is rare: buffers are
/// destroyed explicitly.
#[cfg(target_arch = "wasm32")]
impl Drop for Counted {
    fn drop(&mut self) {
        self.buffer.destroy();
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
        // Unit tests keep none: each read then allocates, and can be refused.
        if !cfg!(test) && idle.len() < Self::MOST {
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
    /// The submissions before it.
    submitted: Seconds,
    receiver: futures_channel::oneshot::Receiver<Result<(), wgpu::BufferAsyncError>>,
    /// What the receiver gave, if it was asked already.
    arrived: Option<Result<(), wgpu::BufferAsyncError>>,
}

impl Readback {
    /// Whether the bytes have arrived, or will never: then [`Readback::finish`] does not wait.
    pub fn has_arrived(&mut self) -> bool {
        if self.arrived.is_some() {
            return true;
        }
        self.gpu.poll();
        match self.receiver.try_recv() {
            Ok(arrived) => {
                self.arrived = arrived;
                self.arrived.is_some()
            }
            Err(_) => true,
        }
    }

    /// Waits for the bytes, not for what was submitted after them. A caller that drops the future
    /// may call it again, one that was given the bytes may not.
    ///
    /// # Errors
    /// The device failed.
    pub async fn finish(&mut self) -> Result<Vec<u8>, GpuError> {
        #[cfg(test)]
        crate::interrupt::at_wait().await?;
        let arrived = match self.arrived.take() {
            Some(arrived) => arrived,
            None => {
                let submission = Some(self.submission.clone());
                self.gpu.arrival(submission, &mut self.receiver).await?
            }
        };
        match arrived {
            Ok(()) => self.gpu.inner.submissions.done(self.submitted),
            Err(error) => return Err(self.gpu.failed(error)),
        }
        let bytes = self
            .staging
            .get_mapped_range(..self.bytes)
            .map_err(|error| self.gpu.failed(error))?
            .to_vec();
        self.staging.unmap();
        self.gpu.inner.staging.give(self.staging.clone());
        self.gpu.check()?;
        Ok(bytes)
    }
}
