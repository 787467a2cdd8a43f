//! Buffers by declaration: the table that plans are recorded with, and the memory behind it.

use godwit_shaders::Buffers;

use super::{Gpu, GpuError, GpuMemory};

/// Declared buffers and their memory on a GPU. Every buffer that the table has is allocated. A
/// clone shares the buffers that there are.
#[derive(Clone)]
pub(crate) struct DeviceBuffers {
    table: Buffers,
    memory: GpuMemory,
}

/// Buffers that are being allocated. They are taken back when this is dropped, unless they are
/// complete: so it is all of them or none, also where a future is dropped.
struct Allocation<'a> {
    buffers: &'a mut DeviceBuffers,
    /// The first buffer of the allocation.
    first: usize,
    is_complete: bool,
}

impl Drop for Allocation<'_> {
    fn drop(&mut self) {
        if !self.is_complete {
            self.buffers.table.truncate(self.first);
            self.buffers.memory.truncate(self.first);
        }
    }
}

impl DeviceBuffers {
    /// No buffers.
    pub fn new(gpu: &Gpu) -> Self {
        Self {
            table: Buffers::default(),
            memory: GpuMemory::new(gpu),
        }
    }

    /// The names and sizes of the buffers.
    pub fn table(&self) -> &Buffers {
        &self.table
    }

    /// The buffers' memory.
    pub fn memory(&self) -> &GpuMemory {
        &self.memory
    }

    /// Allocates the buffers that `declare` adds to the table, filled with zeros: all or none.
    ///
    /// # Errors
    /// As [`GpuMemory::allocate`].
    pub async fn allocate<T>(
        &mut self,
        declare: impl FnOnce(&mut Buffers) -> T,
    ) -> Result<T, GpuError> {
        self.allocate_filled(declare, async |_, _| Ok(())).await
    }

    /// [`DeviceBuffers::allocate`], with content that `fill` writes.
    ///
    /// # Errors
    /// As [`GpuMemory::allocate`], or `fill` fails.
    pub async fn allocate_filled<T>(
        &mut self,
        declare: impl FnOnce(&mut Buffers) -> T,
        fill: impl AsyncFnOnce(&GpuMemory, &T) -> Result<(), GpuError>,
    ) -> Result<T, GpuError> {
        let first = self.table.len();
        let mut allocation = Allocation {
            buffers: self,
            first,
            is_complete: false,
        };
        let DeviceBuffers { table, memory } = &mut *allocation.buffers;
        let declared = declare(table);
        memory.allocate(table).await?;
        fill(memory, &declared).await?;
        allocation.is_complete = true;
        Ok(declared)
    }

    /// Frees one buffer. No plan that names it may run any more.
    pub fn release(&mut self, id: u32) {
        self.memory.release(id);
        self.table.release(id);
    }

    /// Bytes of all buffers.
    pub fn bytes(&self) -> u64 {
        self.table.bytes()
    }
}
