//! Slices of frames: how much of a plan is submitted at once, what that took, and how much the next
//! slice may take.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::time::Duration;

use futures_channel::oneshot::{Receiver, channel};
use godwit_shaders::{Cost, Dispatch, Step};
use web_time::Instant;

use super::{Gpu, GpuError, Prepared};

/// The shares of a budget that a slice is expected to take: at most, at least, and at first.
const MOST_SHARE: f64 = 0.95;
const LEAST_SHARE: f64 = 1.0 / 8.0;
const FIRST_SHARE: f64 = 0.5;
/// What becomes of the share after a slice that was done in time, after one that took more than the
/// budget, and after one that was not done when the next frame asked.
const AFTER_SUCCESS: f64 = 1.05;
const AFTER_EXCESS: f64 = 0.9;
const AFTER_MISS: f64 = 0.5;
/// The ratios of measured and expected time that are believed: a slice may have waited for others.
const BELIEVED: [f64; 2] = [0.3, 1.5];
/// How much a kernel that was never measured is expected to take beside the others.
const CAUTION: f64 = 1.5;

/// What of a dispatch decides how its time relates to its cost: kernel, variant and format; the
/// magnitudes of its cost and of its number of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Kind {
    kernel: u64,
    cost: u32,
    tokens: u32,
}

impl Kind {
    fn of(dispatch: &Dispatch, cost: Cost, step: Step) -> Self {
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let names = (dispatch.kernel.name, dispatch.variant.name, dispatch.format);
        Self {
            kernel: hasher.hash_one(names),
            cost: cost.bytes.max(1).ilog2(),
            tokens: step.count.max(1).ilog2(),
        }
    }
}

/// What decides how much a frame computes.
///
/// One slice is outstanding at most. A slice that is not done when the next frame asks halves the
/// share of the budget that is used, one that took more than the budget lowers it by a tenth, any
/// other raises it by 5 %. What slices took, by two timestamps each, corrects what dispatches are
/// expected to take.
pub(crate) struct Slices {
    /// The share of the budget that a slice is expected to take.
    share: f64,
    /// Seconds of a nominal second.
    scales: HashMap<Kind, f64>,
    /// The same of all dispatches together.
    typical: f64,
    /// The slice that is being submitted.
    open: Slice,
    outstanding: Option<Outstanding>,
    timestamps: Option<Timestamps>,
    /// What the newest slice took that is done, until it is asked for.
    time: Option<SliceTime>,
}

/// Dispatches that are submitted in a frame.
#[derive(Default)]
struct Slice {
    budget: Duration,
    /// The dispatches so far, with their nominal seconds.
    dispatches: Vec<(Kind, f64)>,
    /// Seconds that they are expected to take, and seconds that further ones may take.
    expected: f64,
    left: f64,
}

/// What a slice took on the GPU.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SliceTime {
    /// By its timestamps; where the device has none, from its submission to when that it is done
    /// was noticed.
    pub gpu: Duration,
    /// What it was to take.
    pub budget: Duration,
    /// Whether it was not done when the next frame asked.
    pub is_late: bool,
}

/// A slice that was submitted.
struct Outstanding {
    slice: Slice,
    submitted: Instant,
    done: Arrival<Instant>,
    times: Option<Arrival<bool>>,
    is_late: bool,
}

/// What a callback sends, once it did.
enum Arrival<T> {
    Coming(Receiver<T>),
    Here(T),
}

impl<T: Copy> Arrival<T> {
    /// What was sent; `lost` where the callback went without sending.
    fn take(&mut self, lost: T) -> Option<T> {
        if let Self::Coming(receiver) = self {
            match receiver.try_recv() {
                Ok(None) => return None,
                Ok(Some(sent)) => *self = Self::Here(sent),
                Err(_) => *self = Self::Here(lost),
            }
        }
        match self {
            Self::Here(sent) => Some(*sent),
            Self::Coming(_) => None,
        }
    }
}

/// Two timestamps, and the buffers that bring them to the host.
struct Timestamps {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    readable: wgpu::Buffer,
}

/// Bytes of two timestamps.
const TIMES: u64 = 16;

impl Slices {
    /// Nothing is known of the device.
    pub fn new() -> Self {
        Self {
            share: FIRST_SHARE,
            scales: HashMap::new(),
            typical: 1.0,
            open: Slice::default(),
            outstanding: None,
            timestamps: None,
            time: None,
        }
    }

    /// Makes what slices need to be timed, where the device has timestamps.
    ///
    /// # Errors
    /// There is no memory for it.
    pub async fn prepare(&mut self, gpu: &Gpu) -> Result<(), GpuError> {
        if self.timestamps.is_some() || !gpu.has_timestamps() {
            return Ok(());
        }
        let (label, ty) = (Some("timestamps of slices"), wgpu::QueryType::Timestamp);
        let queries = gpu.allocate("timestamps", 0, |device| {
            device.create_query_set(&wgpu::QuerySetDescriptor {
                label,
                ty,
                count: 2,
            })
        });
        let buffer = |usage| gpu.create_buffer("timestamps of slices", TIMES, usage);
        self.timestamps = Some(Timestamps {
            queries: queries.await?,
            resolved: buffer(wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC)
                .await?,
            readable: buffer(wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST).await?,
        });
        Ok(())
    }

    /// Whether no slice is outstanding. Learns from one that is done. Never waits.
    ///
    /// # Errors
    /// The device is lost.
    pub fn is_free(&mut self, gpu: &Gpu) -> Result<bool, GpuError> {
        gpu.poll();
        if let Some(lost) = gpu.known_loss() {
            return Err(lost);
        }
        let Some(mut of) = self.outstanding.take() else {
            return Ok(true);
        };
        let done = of.done.take(of.submitted);
        let times = of.times.as_mut().map(|times| times.take(false));
        let (Some(done), Some(_)) = (done, times.unwrap_or(Some(false))) else {
            if !of.is_late {
                of.is_late = true;
                self.miss();
            }
            self.outstanding = Some(of);
            return Ok(false);
        };
        let waited = done.saturating_duration_since(of.submitted).as_secs_f64();
        let was_mapped = times.flatten() == Some(true);
        let timed = self.timestamps.as_ref().filter(|_| was_mapped);
        let seconds = match timed.and_then(|timestamps| timestamps.read(gpu)) {
            Some(seconds) => seconds,
            None => waited,
        };
        self.learn(&of.slice, seconds, of.is_late);
        Ok(true)
    }

    /// A slice was not done when the next frame asked.
    fn miss(&mut self) {
        self.share = (self.share * AFTER_MISS).max(LEAST_SHARE);
    }

    fn learn(&mut self, slice: &Slice, seconds: f64, is_late: bool) {
        self.time = Some(SliceTime {
            gpu: Duration::try_from_secs_f64(seconds).unwrap_or_default(),
            budget: slice.budget,
            is_late,
        });
        if !is_late {
            let factor = match seconds > slice.budget.as_secs_f64() {
                true => AFTER_EXCESS,
                false => AFTER_SUCCESS,
            };
            self.share = (self.share * factor).clamp(LEAST_SHARE, MOST_SHARE);
        }
        if seconds <= 0.0 || slice.expected <= 0.0 {
            return;
        }
        let ratio = (seconds / slice.expected).clamp(BELIEVED[0], BELIEVED[1]);
        // An estimate grows at once and shrinks slowly: a slice that is too short costs little.
        let change = if ratio > 1.0 {
            ratio - 1.0
        } else {
            0.3 * (ratio - 1.0)
        };
        let mut shares: HashMap<Kind, f64> = HashMap::new();
        for &(kind, nominal) in &slice.dispatches {
            *shares.entry(kind).or_default() += nominal * self.scale(kind) / slice.expected;
        }
        for (kind, share) in shares {
            let scale = self.scale(kind) * (1.0 + share.clamp(0.0, 1.0) * change);
            self.scales.insert(kind, scale);
        }
        self.typical *= 1.0 + change;
        self.typical = self.typical.clamp(1e-3, 1e3);
    }

    fn scale(&self, kind: Kind) -> f64 {
        let known = self.scales.get(&kind).copied();
        known.unwrap_or(CAUTION * self.typical)
    }

    /// Begins a slice of at most this time.
    pub fn begin(&mut self, budget: Duration) {
        self.open = Slice {
            budget,
            left: self.share * budget.as_secs_f64(),
            ..Slice::default()
        };
    }

    /// Begins a submission that is no slice: everything fits, and nothing is learned from it.
    pub fn begin_unlimited(&mut self) {
        self.open = Slice {
            left: f64::INFINITY,
            ..Slice::default()
        };
    }

    /// Adds dispatches of a plan to the slice, from one on, as many as fit. Returns the end of
    /// them. The first one of a slice fits always.
    pub fn fit(&mut self, prepared: &Prepared, from: usize, step: Step) -> usize {
        let mut end = from;
        for (dispatch, cost, nominal) in prepared.nominal_from(from, step) {
            let kind = Kind::of(dispatch, cost, step);
            let seconds = nominal * self.scale(kind);
            if seconds > self.open.left && !self.open.dispatches.is_empty() {
                break;
            }
            self.open.left -= seconds;
            self.open.expected += seconds;
            self.open.dispatches.push((kind, nominal));
            end += 1;
        }
        end
    }

    /// The query set to write a slice's first timestamp to, before its first dispatch.
    pub fn first_timestamp(&self, is_first: bool) -> Option<&wgpu::QuerySet> {
        // Those of a slice that is outstanding are not overwritten.
        let is_slice = is_first && self.open.left.is_finite();
        let timestamps = self.timestamps.as_ref().filter(|_| is_slice);
        timestamps.map(|timestamps| &timestamps.queries)
    }

    /// Whether the slice has no dispatch yet.
    pub fn is_empty(&self) -> bool {
        self.open.dispatches.is_empty()
    }

    /// Ends the slice: all of it was submitted.
    pub fn end(&mut self, gpu: &Gpu) {
        if self.is_empty() {
            return;
        }
        let submitted = Instant::now();
        let times = self.timestamps.as_ref().map(|timestamps| {
            let mut encoder = gpu
                .device()
                .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            timestamps.finish(&mut encoder);
            gpu.submit(Some(encoder));
            let (sender, receiver) = channel();
            gpu.catch(|| {
                timestamps
                    .readable
                    .map_async(wgpu::MapMode::Read, .., move |mapped| {
                        // The receiver is gone where nobody asks any more.
                        let _ = sender.send(mapped.is_ok());
                    });
            });
            Arrival::Coming(receiver)
        });
        let (sender, receiver) = channel();
        gpu.queue().on_submitted_work_done(move || {
            let _ = sender.send(Instant::now());
        });
        self.outstanding = Some(Outstanding {
            slice: std::mem::take(&mut self.open),
            submitted,
            done: Arrival::Coming(receiver),
            times,
            is_late: false,
        });
    }

    /// Waits until no slice is outstanding.
    ///
    /// # Errors
    /// The device failed.
    pub async fn wait(&mut self, gpu: &Gpu) -> Result<(), GpuError> {
        let Some(slice) = &mut self.outstanding else {
            return Ok(());
        };
        if let Arrival::Coming(receiver) = &mut slice.done {
            slice.done = Arrival::Here(gpu.arrival(None, receiver).await?);
        }
        Ok(())
    }

    /// What the newest slice took that is done, once.
    pub fn take_time(&mut self) -> Option<SliceTime> {
        self.time.take()
    }
}

impl Timestamps {
    /// Writes the second timestamp, and copies both to where the host can read them.
    fn finish(&self, encoder: &mut wgpu::CommandEncoder) {
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
    fn read(&self, gpu: &Gpu) -> Option<f64> {
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
