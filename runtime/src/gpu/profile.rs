//! Profiles of a device: timestamps around each dispatch, and the host's time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use godwit_shaders::{Cost, Step};

use super::execute::PreparedDispatch;
use super::{Gpu, GpuError};

/// A dispatch that ran while a profile was taken.
#[derive(Clone, Debug)]
pub struct DispatchTime {
    /// Kernel, variant and weight format.
    pub kernel: String,
    /// Its cost.
    pub cost: Cost,
    /// The pass that it was part of.
    pub step: Step,
    /// Whether its plan begins with it.
    pub is_first: bool,
    /// Seconds that it took on the GPU; none where the GPU has no timestamps.
    pub seconds: Option<f64>,
}

/// The host's work for the GPU since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostWork {
    /// Submissions of plans.
    pub submits: u64,
    /// Dispatches in them.
    pub dispatches: u64,
    /// Time it took to write parameters, encode and submit.
    pub time: Duration,
    /// Times that the host waited for the device in wgpu: never where the device is shared.
    pub waits: u64,
    /// Pipelines that were created.
    pub pipelines: u64,
    /// Buffers that were created, those of uploads and readbacks among them.
    pub buffers: u64,
}

#[derive(Default)]
pub(super) struct Profiler {
    /// None: nobody asks.
    running: Mutex<Option<Vec<Recorded>>>,
    submits: AtomicU64,
    dispatches: AtomicU64,
    nanoseconds: AtomicU64,
    waits: AtomicU64,
    pipelines: AtomicU64,
    buffers: AtomicU64,
}

/// Dispatches of one submission, and where their timestamps end up.
struct Recorded {
    timed: Vec<DispatchTime>,
    timestamps: Option<wgpu::Buffer>,
}

/// Dispatches whose two timestamps fit a query set.
const MOST: usize = wgpu::QUERY_SET_MAX_QUERIES as usize / 2;

impl Profiler {
    /// Encodes dispatches, each between timestamps while a profile is taken.
    ///
    /// # Errors
    /// There is no memory for timestamps.
    pub async fn encode(
        &self,
        gpu: &Gpu,
        encoder: &mut wgpu::CommandEncoder,
        dispatches: &[PreparedDispatch],
        step: Step,
    ) -> Result<(), GpuError> {
        if self.running().is_none() {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            dispatches
                .iter()
                .for_each(|prepared| prepared.encode(&mut pass));
            return Ok(());
        }
        for dispatches in dispatches.chunks(MOST) {
            let timestamps = match gpu.has_timestamps() {
                true => Some(Timestamps::new(gpu, 2 * dispatches.len() as u32).await?),
                false => None,
            };
            for (first, prepared) in (0..).step_by(2).zip(dispatches) {
                let timestamp_writes =
                    timestamps
                        .as_ref()
                        .map(|timestamps| wgpu::ComputePassTimestampWrites {
                            query_set: &timestamps.queries,
                            beginning_of_pass_write_index: Some(first),
                            end_of_pass_write_index: Some(first + 1),
                        });
                prepared.encode(
                    &mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                        label: None,
                        timestamp_writes,
                    }),
                );
            }
            let timed = dispatches
                .iter()
                .map(
                    |PreparedDispatch {
                         dispatch, is_first, ..
                     }| DispatchTime {
                        kernel: dispatch.label(),
                        cost: dispatch.cost(step),
                        step,
                        is_first: *is_first,
                        seconds: None,
                    },
                )
                .collect();
            let timestamps = timestamps.map(|timestamps| timestamps.resolve(encoder));
            if let Some(recorded) = self.running().as_mut() {
                recorded.push(Recorded { timed, timestamps });
            }
        }
        Ok(())
    }

    /// Counts a wait for the device.
    pub fn count_wait(&self) {
        self.waits.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a pipeline.
    pub fn count_pipeline(&self) {
        self.pipelines.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a buffer.
    pub fn count_buffer(&self) {
        self.buffers.fetch_add(1, Ordering::Relaxed);
    }

    fn running(&self) -> MutexGuard<'_, Option<Vec<Recorded>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a submission.
    pub fn count(&self, dispatches: usize, time: Duration) {
        self.submits.fetch_add(1, Ordering::Relaxed);
        self.dispatches
            .fetch_add(dispatches as u64, Ordering::Relaxed);
        self.nanoseconds
            .fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
    }
}

/// Queries of some dispatches, and the buffers that bring them to the host.
struct Timestamps {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    readable: wgpu::Buffer,
}

impl Timestamps {
    async fn new(gpu: &Gpu, count: u32) -> Result<Self, GpuError> {
        let (label, ty) = (Some("timestamps"), wgpu::QueryType::Timestamp);
        let queries = gpu.allocate("timestamps", 0, |device| {
            device.create_query_set(&wgpu::QuerySetDescriptor { label, ty, count })
        });
        let buffer = |usage| gpu.create_buffer("timestamps", 8 * u64::from(count), usage);
        Ok(Self {
            queries: queries.await?,
            resolved: buffer(wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC)
                .await?,
            readable: buffer(wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST).await?,
        })
    }

    /// Copies the timestamps to where the host can read them.
    fn resolve(self, encoder: &mut wgpu::CommandEncoder) -> wgpu::Buffer {
        let Self {
            queries,
            resolved,
            readable,
        } = self;
        encoder.resolve_query_set(&queries, 0..queries.count(), &resolved, 0);
        encoder.copy_buffer_to_buffer(&resolved, 0, &readable, 0, readable.size());
        readable
    }
}

impl Gpu {
    /// Whether a profile has times.
    pub fn has_timestamps(&self) -> bool {
        self.inner
            .device
            .features()
            .contains(wgpu::Features::TIMESTAMP_QUERY)
    }

    /// From now on every dispatch is noted, and timed where the GPU has timestamps. Dispatches then
    /// no longer overlap.
    pub fn start_profile(&self) {
        *self.inner.profiler.running() = Some(Vec::new());
    }

    /// The dispatches since [`Gpu::start_profile`], in order.
    ///
    /// # Errors
    /// The device failed.
    pub async fn finish_profile(&self) -> Result<Vec<DispatchTime>, GpuError> {
        let recorded = self.inner.profiler.running().take();
        self.finish().await?;
        let nanoseconds = f64::from(self.inner.queue.get_timestamp_period());
        let mut all = Vec::new();
        for Recorded {
            mut timed,
            timestamps,
        } in recorded.unwrap_or_default()
        {
            if let Some(timestamps) = timestamps {
                let (sender, mut receiver) = futures_channel::oneshot::channel();
                timestamps.map_async(wgpu::MapMode::Read, .., move |result| {
                    // The receiver is gone where nobody waits any more.
                    let _ = sender.send(result);
                });
                let mapped = self.arrival(None, &mut receiver).await?;
                mapped.map_err(|error| self.failed(error))?;
                let bytes = timestamps
                    .get_mapped_range(..)
                    .map_err(|error| self.failed(error))?;
                let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&bytes);
                for (timed, times) in timed.iter_mut().zip(ticks.chunks_exact(2)) {
                    timed.seconds =
                        Some(times[1].saturating_sub(times[0]) as f64 * nanoseconds * 1e-9);
                }
            }
            all.append(&mut timed);
        }
        Ok(all)
    }

    /// The host's work for the GPU so far.
    pub fn host_work(&self) -> HostWork {
        let profiler = &self.inner.profiler;
        HostWork {
            submits: profiler.submits.load(Ordering::Relaxed),
            dispatches: profiler.dispatches.load(Ordering::Relaxed),
            time: Duration::from_nanos(profiler.nanoseconds.load(Ordering::Relaxed)),
            waits: profiler.waits.load(Ordering::Relaxed),
            pipelines: profiler.pipelines.load(Ordering::Relaxed),
            buffers: profiler.buffers.load(Ordering::Relaxed),
        }
    }
}
