//! What kernels that run without checks rely on.

use godwit_shaders::PAGE;

use super::batch::Batch;
use super::device::Device;

impl Device {
    /// Whether the buffers have room for a batch.
    pub(super) fn has_room(&self, batch: &Batch) -> bool {
        let size = self.executor.size;
        let most = size.batch.unwrap_or_default();
        batch.rows.len() as u32 <= size.chunk
            && batch.items.len() as u32 <= most.items
            && batch.pages.len() as u32 <= most.pages
            && batch.partials <= most.partials
            && batch.outputs.len() as u32 <= size.outputs
    }

    /// Checks that a batch stays inside the buffers. Kernels run without checks: see
    /// `gpu/pipelines.rs`.
    pub(super) fn check(&self, batch: &Batch) {
        let slots = self.executor.kv.segments().capacity();
        let rows = batch.rows.len() as u32;
        assert!(self.has_room(batch), "a batch is larger than its buffers");
        for row in &batch.rows {
            let last = u64::from(row.first_partial)
                + u64::from(row.partials.saturating_sub(1)) * u64::from(row.partial_stride);
            assert!(
                row.slot < slots
                    && last < u64::from(batch.partials)
                    && row.position < self.executor.engine.context(),
                "{row:?} leaves the pool or the partials"
            );
        }
        for item in &batch.items {
            let segment = self.executor.kv.segments().layer(0, usize::MAX)[item.segment as usize];
            let pages = (item.end - item.begin).div_ceil(PAGE);
            let list = &batch.pages[item.first_page as usize..][..pages as usize];
            let lies_in = |&page: &u32| {
                page * PAGE >= segment.first && (page + 1) * PAGE <= segment.first + segment.len
            };
            assert!(
                item.first_row + item.tokens <= rows
                    && item.partial + item.tokens <= batch.partials
                    && item.begin % PAGE == 0
                    && list.iter().all(lies_in),
                "{item:?} leaves its segment or the batch"
            );
        }
    }
}
