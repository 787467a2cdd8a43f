//! The timestamps at the two ends of a slice.

use crate::gpu::{Gpu, GpuError};

/// Bytes of two timestamps.
const TIMES: u64 = 16;

/// Two timestamps, and the buffers that bring them to the host.
pub(super) struct Timestamps {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    readable: wgpu::Buffer,
}

impl Timestamps {
    /// # Errors
    /// There is no memory for them.
    pub async fn new(gpu: &Gpu) -> Result<Self, GpuError> {
        let (label, ty) = (Some("timestamps of slices"), wgpu::QueryType::Timestamp);
        let queries = gpu.allocate("timestamps", 0, |device| {
            device.create_query_set(&wgpu::QuerySetDescriptor {
                label,
                ty,
                count: 2,
            })
        });
        let buffer = |usage| gpu.create_buffer("timestamps of slices", TIMES, usage);
        Ok(Self {
            queries: queries.await?,
            resolved: buffer(wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC)
                .await?,
            readable: buffer(wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST).await?,
        })
    }

    /// What a slice's first timestamp is written to.
    pub fn queries(&self) -> &wgpu::QuerySet {
        &self.queries
    }

    /// Where both are, once they are mapped.
    pub fn readable(&self) -> &wgpu::Buffer {
        &self.readable
    }

    /// Writes the second timestamp, and copies both to where the host can read them.
    pub fn finish(&self, encoder: &mut wgpu::CommandEncoder) {
        drop(encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: None,
            timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                query_set: &self.queries,
                beginning_of_pass_write_index: None,
                end_of_pass_write_index: Some(1),
            }),
        }));
        encoder.resolve_query_set(&self.queries, 0..2, &self.resolved, 0);
        encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.readable, 0, TIMES);
    }

    /// The seconds between the two, which have arrived.
    pub fn read(&self, gpu: &Gpu) -> Option<f64> {
        let ticks: Option<Vec<u64>> = self
            .readable
            .get_mapped_range(..)
            .ok()
            .map(|bytes| bytemuck::pod_collect_to_vec(&bytes));
        self.readable.unmap();
        let ticks = ticks?;
        let passed = ticks[1]
            .checked_sub(ticks[0])
            .filter(|&passed| passed > 0)?;
        Some(passed as f64 * f64::from(gpu.queue().get_timestamp_period()) * 1e-9)
    }
}
