//! Bytes from the GPU.

use std::sync::{Mutex, PoisonError};

use futures_channel::oneshot;
use godwit_shaders::BufferRef;

use super::memory::{GpuMemory, create};
use super::{Gpu, GpuError};

/// Buffers to read back through, for use again: one is needed for every token.
#[derive(Default)]
pub(super) struct Staging {
    idle: Mutex<Vec<wgpu::Buffer>>,
}

impl Staging {
    /// How many are kept.
    const MOST: usize = 4;

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

/// Bytes on their way from the GPU: copied one behind the other, and waited for once.
pub struct Readback {
    gpu: Gpu,
    staging: wgpu::Buffer,
    /// Bytes copied so far.
    filled: u64,
    last: Option<wgpu::SubmissionIndex>,
    mapped: Option<oneshot::Receiver<Result<(), wgpu::BufferAsyncError>>>,
}

impl GpuMemory {
    /// Starts copying `from` to where the CPU can read it, after all that was submitted.
    ///
    /// # Errors
    /// There is no memory to copy to, or the device failed.
    pub async fn start_read(&self, from: BufferRef) -> Result<Readback, GpuError> {
        let mut readback = self.readback(from.bytes).await?;
        self.copy(from, &mut readback)?;
        readback.map();
        Ok(readback)
    }

    /// Reads bytes back, after all that was submitted.
    ///
    /// # Errors
    /// As [`GpuMemory::start_read`].
    pub async fn read(&self, from: BufferRef) -> Result<Vec<u8>, GpuError> {
        self.start_read(from).await?.finish().await
    }

    /// Room for `bytes` to be copied to.
    ///
    /// # Errors
    /// There is none, or the device failed.
    pub async fn readback(&self, bytes: u64) -> Result<Readback, GpuError> {
        let staging = match self.gpu.inner.staging.take(bytes) {
            Some(staging) => staging,
            None => {
                let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
                create(&self.gpu, "readback", bytes, usage).await?
            }
        };
        Ok(Readback { gpu: self.gpu.clone(), staging, filled: 0, last: None, mapped: None })
    }

    /// Copies `from` behind what was copied before, after all that was submitted.
    ///
    /// # Errors
    /// There is no such buffer.
    pub fn copy(&self, from: BufferRef, to: &mut Readback) -> Result<(), GpuError> {
        let mut encoder = self.gpu.inner.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(self.buffer(from.id)?, from.offset, &to.staging, to.filled, from.bytes);
        to.last = Some(self.gpu.inner.queue.submit([encoder.finish()]));
        to.filled += from.bytes;
        Ok(())
    }
}

impl Readback {
    /// Asks for the bytes as soon as they are there, whatever is submitted after this.
    pub fn map(&mut self) {
        let (sender, receiver) = oneshot::channel();
        self.staging.map_async(wgpu::MapMode::Read, ..self.filled, move |result| {
            // The receiver is gone where nobody waits any more.
            let _ = sender.send(result);
        });
        self.mapped = Some(receiver);
    }

    /// Waits for the bytes, not for what was submitted after [`Readback::map`].
    ///
    /// # Errors
    /// The device failed.
    pub async fn finish(self) -> Result<Vec<u8>, GpuError> {
        let failed = |fault: String| GpuError::Failed { fault };
        let Some(mapped) = self.mapped else { return Err(failed("nobody asked for the bytes".into())) };
        self.gpu.wait(self.last)?;
        match mapped.await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => return Err(self.gpu.fault_or(failed(e.to_string()))),
            Err(_) => return Err(self.gpu.fault_or(failed("the device gave no answer".into()))),
        }
        let bytes = self.staging.get_mapped_range(..self.filled).map_err(|e| failed(e.to_string()))?.to_vec();
        self.staging.unmap();
        self.gpu.inner.staging.give(self.staging);
        self.gpu.check()?;
        Ok(bytes)
    }
}
