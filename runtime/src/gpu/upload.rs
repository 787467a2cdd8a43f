//! Bytes on their way from the host to buffers.

use super::{Gpu, GpuError};

#[cfg(not(target_arch = "wasm32"))]
pub(super) use native::Uploads;

/// A browser has staging memory of its own, and survives where there is none.
#[cfg(target_arch = "wasm32")]
#[derive(Default)]
pub(super) struct Uploads;

#[cfg(target_arch = "wasm32")]
impl Uploads {
    pub async fn write(
        &self,
        gpu: &Gpu,
        to: &wgpu::Buffer,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), GpuError> {
        gpu.inner.queue.write_buffer(to, offset, bytes);
        Ok(())
    }
}

#[cfg(target_arch = "wasm32")]
impl Gpu {
    pub(super) fn submit(&self, encoder: Option<wgpu::CommandEncoder>) -> wgpu::SubmissionIndex {
        self.inner
            .queue
            .submit(encoder.map(wgpu::CommandEncoder::finish))
    }

    pub(super) fn flush(&self) {}

    pub(super) async fn reserve_uploads(&self, _: usize, _: u64) -> Result<(), GpuError> {
        Ok(())
    }

    pub(crate) fn release_uploads(&self) {}
}

#[cfg(not(target_arch = "wasm32"))]
mod native {
    use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

    use super::{Gpu, GpuError};

    /// The smallest staging buffer. A decode step writes some hundred bytes.
    const LEAST: u64 = 16 << 10;
    /// Bytes of staging buffers that are kept for use again. New ones cost page-ins, which
    /// loading would feel.
    const KEPT: u64 = 64 << 20;
    /// Alignment of the offsets of a mapped range.
    const ALIGNMENT: u64 = wgpu::MAP_ALIGNMENT;

    /// Writes that the next submission carries out before its own commands.
    ///
    /// They do what `wgpu::Queue::write_buffer` does, in the same order, with two differences:
    /// where no staging buffer is to be had, the write fails and the device goes on; and staging
    /// buffers are used again, so that a decode step allocates nothing.
    #[derive(Default)]
    pub struct Uploads {
        pending: Mutex<Pending>,
        idle: Arc<Mutex<Idle>>,
    }

    /// Bytes written since the last submission.
    #[derive(Default)]
    struct Pending {
        copies: Option<wgpu::CommandEncoder>,
        staging: Vec<Staging>,
    }

    /// A mapped buffer, and how much of it is written.
    struct Staging {
        buffer: wgpu::Buffer,
        used: u64,
    }

    /// Mapped buffers that no submission reads any more.
    #[derive(Default)]
    struct Idle(Vec<wgpu::Buffer>);

    impl Idle {
        /// The smallest buffer that holds so many bytes.
        fn take(&mut self, bytes: u64) -> Option<wgpu::Buffer> {
            let fitting = self
                .0
                .iter()
                .enumerate()
                .filter(|(_, buffer)| buffer.size() >= bytes);
            let (at, _) = fitting.min_by_key(|(_, buffer)| buffer.size())?;
            Some(self.0.swap_remove(at))
        }

        fn give(&mut self, buffer: wgpu::Buffer) {
            let kept: u64 = self.0.iter().map(wgpu::Buffer::size).sum();
            // Unit tests keep none: each write then allocates, and can be refused.
            if !cfg!(test) && kept + buffer.size() <= KEPT {
                self.0.push(buffer);
            }
        }
    }

    fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }

    impl Uploads {
        /// Writes bytes, a multiple of 4, before the next submission.
        ///
        /// # Errors
        /// There is no memory for a staging buffer; then nothing is written.
        pub async fn write(
            &self,
            gpu: &Gpu,
            to: &wgpu::Buffer,
            offset: u64,
            bytes: &[u8],
        ) -> Result<(), GpuError> {
            if bytes.is_empty() {
                return Ok(());
            }
            let mut fresh = None;
            while !self.try_write(gpu, fresh.take(), to, offset, bytes)? {
                fresh = Some(self.staging(gpu, bytes.len() as u64).await?);
            }
            Ok(())
        }

        /// Writes through a staging buffer that there is, or through `fresh`; false where none has
        /// room.
        fn try_write(
            &self,
            gpu: &Gpu,
            fresh: Option<Staging>,
            to: &wgpu::Buffer,
            offset: u64,
            bytes: &[u8],
        ) -> Result<bool, GpuError> {
            let mut pending = lock(&self.pending);
            pending.staging.extend(fresh);
            let fits =
                |staging: &Staging| staging.buffer.size() - staging.used >= bytes.len() as u64;
            match pending.staging.iter().position(fits) {
                None => Ok(false),
                Some(at) => {
                    let written = pending.write(gpu, at, to, offset, bytes);
                    // `failed` waits, and lets callbacks run: nothing may be locked then.
                    drop(pending);
                    written.map_err(|error| gpu.failed(error)).map(|()| true)
                }
            }
        }

        async fn staging(&self, gpu: &Gpu, bytes: u64) -> Result<Staging, GpuError> {
            let kept = lock(&self.idle).take(bytes);
            if let Some(buffer) = kept {
                return Ok(Staging { buffer, used: 0 });
            }
            self.create(gpu, bytes).await
        }

        async fn create(&self, gpu: &Gpu, bytes: u64) -> Result<Staging, GpuError> {
            let size = bytes.max(LEAST);
            let descriptor = wgpu::BufferDescriptor {
                label: Some("staging"),
                size,
                usage: wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC,
                mapped_at_creation: true,
            };
            let buffer = gpu
                .allocate("a staging buffer", size, |device| {
                    device.create_buffer(&descriptor)
                })
                .await?;
            gpu.inner.profiler.count_buffer();
            Ok(Staging { buffer, used: 0 })
        }
    }

    impl Pending {
        /// Writes through a staging buffer that has room.
        fn write(
            &mut self,
            gpu: &Gpu,
            at: usize,
            to: &wgpu::Buffer,
            offset: u64,
            bytes: &[u8],
        ) -> Result<(), wgpu::MapRangeError> {
            let Staging { buffer, used } = &mut self.staging[at];
            let (begin, len) = (*used, bytes.len() as u64);
            let mapped = buffer.get_mapped_range_mut(begin..begin + len);
            mapped?.copy_from_slice(bytes);
            *used = (begin + len).next_multiple_of(ALIGNMENT).min(buffer.size());
            let device = &gpu.inner.device;
            let copies = self
                .copies
                .get_or_insert_with(|| device.create_command_encoder(&Default::default()));
            copies.copy_buffer_to_buffer(buffer, begin, to, offset, len);
            Ok(())
        }
    }

    impl Gpu {
        /// Submits all writes, and then these commands. Every submission of this device goes
        /// through here.
        pub(in crate::gpu) fn submit(
            &self,
            encoder: Option<wgpu::CommandEncoder>,
        ) -> wgpu::SubmissionIndex {
            self.catch(|| self.submit_all(encoder))
        }

        fn submit_all(&self, encoder: Option<wgpu::CommandEncoder>) -> wgpu::SubmissionIndex {
            let uploads = &self.inner.uploads;
            let mut pending = lock(&uploads.pending);
            let Pending { copies, staging } = std::mem::take(&mut *pending);
            staging.iter().for_each(|staging| staging.buffer.unmap());
            let commands = copies
                .into_iter()
                .chain(encoder)
                .map(wgpu::CommandEncoder::finish);
            // Under the lock: another thread's commands may need these writes, and must not
            // overtake them.
            let submission = self.inner.queue.submit(commands);
            drop(pending);
            for Staging { buffer, .. } in staging {
                let (mapped, idle) = (buffer.clone(), Arc::clone(&uploads.idle));
                buffer.map_async(wgpu::MapMode::Write, .., move |result| {
                    if result.is_ok() {
                        lock(&idle).give(mapped);
                    }
                });
            }
            submission
        }

        /// Submits writes that nothing else has carried along.
        pub(in crate::gpu) fn flush(&self) {
            if lock(&self.inner.uploads.pending).copies.is_some() {
                self.submit(None);
            }
        }

        /// Makes staging buffers of so many bytes, for later writes.
        ///
        /// # Errors
        /// There is no memory for them.
        pub(in crate::gpu) async fn reserve_uploads(
            &self,
            count: usize,
            bytes: u64,
        ) -> Result<(), GpuError> {
            for _ in 0..count {
                let staging = self.inner.uploads.create(self, bytes).await?;
                lock(&self.inner.uploads.idle).give(staging.buffer);
            }
            Ok(())
        }

        /// Frees the staging buffers that are not in use: after loading there is little to write.
        pub(crate) fn release_uploads(&self) {
            lock(&self.inner.uploads.idle).0.clear();
        }
    }
}
