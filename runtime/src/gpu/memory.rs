//! The buffers that plans speak of, on a device.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use godwit_shaders::{BufferRef, Buffers};

use super::{Gpu, GpuError};

/// Buffers on a GPU, in the order of a [`Buffers`] table. A clone shares the buffers that there are.
#[derive(Clone)]
pub struct GpuMemory {
    pub(super) gpu: Gpu,
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

    pub(super) fn buffer(&self, id: u32) -> Result<&wgpu::Buffer, GpuError> {
        let buffer = self.buffers.get(id as usize).and_then(Option::as_ref);
        buffer.map(|counted| &counted.buffer).ok_or_else(|| GpuError::Failed { fault: format!("no buffer {id}") })
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

pub(super) async fn create(
    gpu: &Gpu,
    name: &str,
    bytes: u64,
    usage: wgpu::BufferUsages,
) -> Result<wgpu::Buffer, GpuError> {
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
    match faults {
        (None, None) => Ok(buffer),
        (Some(error), _) => Err(GpuError::Failed { fault: error.to_string() }),
        (None, Some(_)) => Err(GpuError::OutOfMemory { what: name.into(), bytes }),
    }
}
