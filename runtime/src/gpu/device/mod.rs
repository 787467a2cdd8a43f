//! An opened device: its capabilities, its errors, and waiting for it.

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use godwit_shaders::Capabilities;
use godwit_shaders::MatmulMethod;
use godwit_shaders::capabilities::{
    BINDING_ALIGNMENT, COOPERATIVE_MATRIX_WORKGROUP_BYTES, CPU, GPU, WEBGPU,
};

use super::adapters::{self, AdapterSummary, GpuOptions};
use super::allocate::Budget;
use super::memory::Staging;
use super::pipelines::Pipelines;
use super::profile::Profiler;
use super::submission_scheduler::{IN_FLIGHT_BUDGET, SUBMIT_BUDGET, SubmissionScheduler};
use super::upload::Uploads;
use super::{GpuError, list};

/// An opened GPU. Cheap to clone; all clones are the same device.
#[derive(Clone)]
pub struct Gpu {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    pub pipelines: Pipelines,
    pub staging: Staging,
    pub uploads: Uploads,
    pub profiler: Profiler,
    pub submissions: SubmissionScheduler,
    summary: AdapterSummary,
    pub caps: Capabilities,
    pub budget: Budget,
    #[cfg(test)]
    pub refusal: super::allocate::Refusal,
    errors: Arc<Mutex<Errors>>,
    in_flight_budget: Duration,
    /// Why better adapters were not opened instead.
    passed_over: Vec<GpuError>,
    /// Another adapter may take this one's place.
    is_replaceable: bool,
    /// A kernel that a test has refused.
    #[cfg(test)]
    pub refused_kernel: Mutex<Option<&'static str>>,
}

/// Errors that the driver reported and no scope caught.
#[derive(Default)]
struct Errors {
    /// The first error that the device does not recover from: every operation fails with it from
    /// then on.
    lasting: Option<GpuError>,
    /// Memory was refused to an operation that nothing waited for. The next one that waits fails
    /// with it, once: what was computed since is wrong, but the device, and all other work on it,
    /// is not.
    refused: Option<GpuError>,
}

impl Errors {
    /// Notes an error that no scope caught.
    fn note(errors: &Mutex<Self>, error: wgpu::Error) {
        let mut errors = errors.lock().unwrap_or_else(PoisonError::into_inner);
        let cause = error.to_string();
        match error {
            wgpu::Error::OutOfMemory { .. } => errors
                .refused
                .get_or_insert(GpuError::MemoryRefused { cause }),
            _ => errors.lasting.get_or_insert(GpuError::Failed { cause }),
        };
    }

    /// The lasting error every time, a refusal of memory once.
    fn take(errors: &Mutex<Self>) -> Option<GpuError> {
        let mut errors = errors.lock().unwrap_or_else(PoisonError::into_inner);
        errors.lasting.clone().or_else(|| errors.refused.take())
    }
}

impl Gpu {
    /// The adapters there are, the fastest kinds first.
    pub async fn list(options: &GpuOptions) -> Vec<AdapterSummary> {
        list(options).await
    }

    /// Opens the adapter that `options` name. Where they name none it is the fastest that works:
    /// one that can't be opened, or that computes nothing right, is passed over.
    ///
    /// # Errors
    /// An option has a value that nothing works with; there is no such adapter, or it refuses, or
    /// it is below the WebGPU defaults. Of several, the first one's error.
    pub async fn open(options: &GpuOptions) -> Result<Self, GpuError> {
        options.validate()?;
        Self::open_first(options, adapters::candidates(options).await?, Vec::new()).await
    }

    /// Opens the adapter after this one, on which a kernel did not compile. See
    /// [`Gpu::is_replaceable`].
    ///
    /// # Errors
    /// `error` itself where this adapter or its backend was named, where `error` is not about a
    /// kernel, or where no other adapter works: then the first one's.
    pub async fn open_next(&self, options: &GpuOptions, error: GpuError) -> Result<Self, GpuError> {
        if !self.is_replaceable() || !matches!(error, GpuError::Kernel { .. }) {
            return Err(self.passed_over().first().cloned().unwrap_or(error));
        }
        self.open_next_of(options, adapters::candidates(options).await?, &error)
            .await
    }

    async fn open_next_of(
        &self,
        options: &GpuOptions,
        mut candidates: Vec<(AdapterSummary, wgpu::Adapter)>,
        error: &GpuError,
    ) -> Result<Self, GpuError> {
        candidates.retain(|(summary, _)| summary.index > self.summary().index);
        let mut passed_over = self.passed_over().to_vec();
        passed_over.push(GpuError::Unusable {
            adapter: self.summary().to_string(),
            cause: error.to_string(),
        });
        Self::open_first(options, candidates, passed_over).await
    }

    /// Whether [`Gpu::open_next`] may open another adapter: this one was not named, nor its
    /// backend, and there are more. Then it is worth finding out early that a kernel does not
    /// compile ([`Engine::compile`](crate::Engine::compile)).
    pub fn is_replaceable(&self) -> bool {
        self.inner.is_replaceable
    }

    /// Opens the first adapter that works.
    async fn open_first(
        options: &GpuOptions,
        candidates: Vec<(AdapterSummary, wgpu::Adapter)>,
        mut passed_over: Vec<GpuError>,
    ) -> Result<Self, GpuError> {
        let has_choice = candidates.len() + passed_over.len() > 1;
        let is_named = options.adapter.is_some() || options.backend.is_some();
        let mut left = candidates.len();
        for candidate in candidates {
            left -= 1;
            let opened =
                Self::open_adapter(options, candidate, &passed_over, !is_named && left > 0).await;
            let usable = match opened {
                // The only one is tried by what it is opened for.
                Ok(gpu) if has_choice => gpu.check_computes().await.map(|()| gpu),
                other => other,
            };
            match usable {
                Ok(gpu) => return Ok(gpu),
                Err(error) => {
                    tracing::debug!("an adapter is passed over: {error}");
                    passed_over.push(error);
                }
            }
        }
        Err(passed_over.swap_remove(0))
    }

    /// Why better adapters than this one were passed over, where [`Gpu::open`] had to.
    pub fn passed_over(&self) -> &[GpuError] {
        &self.inner.passed_over
    }

    async fn open_adapter(
        options: &GpuOptions,
        (summary, adapter): (AdapterSummary, wgpu::Adapter),
        passed_over: &[GpuError],
        is_replaceable: bool,
    ) -> Result<Self, GpuError> {
        let limits = limits(&summary, &adapter.limits(), options.webgpu_limits)?;
        let cooperative_matrix = !options.webgpu_limits && has_cooperative_matrix(&adapter);
        let mut wanted =
            wgpu::Features::SUBGROUP | wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::SHADER_F16;
        if cooperative_matrix {
            wanted |= COOPERATIVE_MATRIX_FEATURES;
        }
        let subgroups8_int64 = !options.webgpu_limits && has_subgroups8_int64(&adapter);
        if subgroups8_int64 {
            wanted |= SUBGROUPS8_INT64_FEATURES;
        }
        let features = if options.webgpu_limits {
            wgpu::Features::empty()
        } else {
            adapter.features().intersection(wanted)
        };
        let experimental_features = match cooperative_matrix {
            // SAFETY: the only experimental feature asked for is that of cooperative matrices. What
            // wgpu does not check of them: that loads and stores are inside their array, and that
            // all invocations of a subgroup reach them together. Kernels load and store them in
            // their own workgroup arrays only (`cooperative_matrices_stay_in_workgroup_memory` in
            // the test `shaders`), at places that constants and the subgroup's number decide;
            // behind no branch but those that the whole workgroup takes, with subgroups of 32
            // (`has_subgroups32`), of which workgroups are whole multiples (the same test). The
            // kernels' cases run on GPUs that have them. Prefill is several times as fast for it
            // (docs/notes/2026-11-27-h100-prefill.md).
            true => unsafe { wgpu::ExperimentalFeatures::enabled() },
            false => wgpu::ExperimentalFeatures::disabled(),
        };
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("godwit"),
            required_features: features,
            required_limits: limits.clone(),
            experimental_features,
            // Weights are large buffers of their own: shared blocks would leave gaps between them.
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..Default::default()
        };
        let opened = adapter.request_device(&descriptor).await;
        let (device, queue) = opened.map_err(|e| GpuError::Device {
            adapter: summary.to_string(),
            cause: e.to_string(),
        })?;
        let errors: Arc<Mutex<Errors>> = Arc::default();
        let noted = Arc::clone(&errors);
        device.on_uncaptured_error(Arc::new(move |error| Errors::note(&noted, error)));
        let noted = Arc::clone(&errors);
        device.set_device_lost_callback(move |_, cause| {
            let mut errors = noted.lock().unwrap_or_else(PoisonError::into_inner);
            errors.lasting.get_or_insert(GpuError::Lost { cause });
        });
        let cpu = options.cpu.unwrap_or(summary.is_cpu());
        let caps = Capabilities {
            subgroups: features.contains(wgpu::Features::SUBGROUP),
            // wgpu doesn't ask browsers for subgroups, and nobody has compiled such kernels in one.
            subgroups32: NATIVE
                && features.contains(wgpu::Features::SUBGROUP)
                && has_subgroups32(&adapter),
            shader_f16: features.contains(wgpu::Features::SHADER_F16),
            cooperative_matrix,
            subgroups8_int64,
            packed_dot: options
                .packed_dot
                .unwrap_or_else(|| has_packed_dot(&adapter)),
            // Bindings of the whole limit can't begin at an aligned offset past 2^31.
            max_binding: options
                .max_binding
                .unwrap_or(u64::MAX)
                .min(limits.max_storage_buffer_binding_size)
                / BINDING_ALIGNMENT
                * BINDING_ALIGNMENT,
            max_buffer: limits.max_buffer_size,
            max_workgroups: limits.max_compute_workgroups_per_dimension,
            cpu,
            tuning: options.tuning.unwrap_or(if cpu { CPU } else { GPU }),
        };
        tracing::info!(adapter = %summary, ?caps, "opened");
        let (pipelines, staging, uploads, profiler) = Default::default();
        let budget = Budget::new(options.memory);
        let submissions =
            SubmissionScheduler::new(options.submit_budget.unwrap_or(SUBMIT_BUDGET), &caps);
        let inner = Inner {
            device,
            queue,
            pipelines,
            staging,
            uploads,
            profiler,
            submissions,
            summary,
            caps,
            budget,
            in_flight_budget: options.in_flight_budget.unwrap_or(IN_FLIGHT_BUDGET),
            #[cfg(test)]
            refusal: Default::default(),
            errors,
            passed_over: passed_over.to_vec(),
            is_replaceable,
            #[cfg(test)]
            refused_kernel: Mutex::default(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// The opened adapter.
    pub fn summary(&self) -> &AdapterSummary {
        &self.inner.summary
    }

    /// Its capabilities.
    pub fn caps(&self) -> &Capabilities {
        &self.inner.caps
    }

    /// Bytes of GPU memory in use.
    pub fn memory_used(&self) -> u64 {
        self.inner.budget.used()
    }

    /// Bytes of GPU memory that may be used at most, where that was said.
    pub fn memory_budget(&self) -> Option<u64> {
        self.inner.budget.most()
    }

    /// The time budget of all decode steps in flight.
    pub(crate) fn in_flight_budget(&self) -> Duration {
        self.inner.in_flight_budget
    }

    /// Which variant of each kernel decode and prefill use on this GPU, for people.
    pub fn variants(&self) -> Vec<(&'static str, String)> {
        let method = |tokens| MatmulMethod::of(self.caps(), tokens).name();
        let matmul = format!("decode: {}; prefill: {}", method(1), method(2));
        vec![
            ("matmul", matmul),
            (
                "attention",
                godwit_shaders::kernels::attention::variants(self.caps()),
            ),
        ]
    }

    /// The wgpu device, for those who draw with it too.
    pub fn device(&self) -> &wgpu::Device {
        &self.inner.device
    }

    /// The wgpu queue.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.inner.queue
    }

    /// Lets callbacks of finished work run. Natively that means waiting for all submitted work; a
    /// browser calls them itself.
    pub(super) fn wait(&self, submission: Option<wgpu::SubmissionIndex>) -> Result<(), GpuError> {
        let poll = wgpu::PollType::Wait {
            submission_index: submission,
            timeout: None,
        };
        self.inner.device.poll(poll).map_err(|e| GpuError::Failed {
            cause: e.to_string(),
        })?;
        self.check()
    }

    /// Waits until everything submitted is done.
    ///
    /// # Errors
    /// The device failed.
    pub async fn finish(&self) -> Result<(), GpuError> {
        #[cfg(test)]
        crate::interrupt::at_wait().await?;
        let (sender, receiver) = futures_channel::oneshot::channel();
        self.flush();
        let submitted = self.inner.submissions.submitted();
        self.inner.queue.on_submitted_work_done(move || {
            // The receiver is gone where nobody waits any more.
            let _ = sender.send(());
        });
        self.wait(None)?;
        receiver.await.map_err(|_| GpuError::Failed {
            cause: "the device gave no answer".into(),
        })?;
        self.inner.submissions.done(submitted);
        #[cfg(test)]
        crate::interrupt::at_wait().await?;
        self.check()
    }

    /// What the driver reported and no scope caught: a lasting error every time, a refusal of
    /// memory once.
    pub(super) fn check(&self) -> Result<(), GpuError> {
        Errors::take(&self.inner.errors).map_or(Ok(()), Err)
    }

    /// The first error that the driver reported, else this.
    pub(super) fn cause_or(&self, error: GpuError) -> GpuError {
        self.check().err().unwrap_or(error)
    }
}

/// The features that kernels for cooperative matrices use.
const COOPERATIVE_MATRIX_FEATURES: wgpu::Features = wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX
    .union(wgpu::Features::SHADER_F16)
    .union(wgpu::Features::SUBGROUP);

/// Whether an adapter is what [`Capabilities::cooperative_matrix`] says.
fn has_cooperative_matrix(adapter: &wgpu::Adapter) -> bool {
    use wgpu::CooperativeScalarType::{F16, F32};
    adapter.features().contains(COOPERATIVE_MATRIX_FEATURES)
        && has_subgroups32(adapter)
        && adapter.limits().max_compute_workgroup_storage_size >= COOPERATIVE_MATRIX_WORKGROUP_BYTES
        && adapter
            .cooperative_matrix_properties()
            .iter()
            .any(|properties| {
                (properties.m_size, properties.n_size, properties.k_size) == (16, 16, 16)
                    && (properties.ab_type, properties.cr_type) == (F16, F32)
            })
}

const NATIVE: bool = cfg!(not(target_arch = "wasm32"));

/// Whether subgroups are of 32.
fn has_subgroups32(adapter: &wgpu::Adapter) -> bool {
    let info = adapter.get_info();
    (info.subgroup_min_size, info.subgroup_max_size) == (32, 32)
}

/// The features that kernels for CPUs use.
const SUBGROUPS8_INT64_FEATURES: wgpu::Features =
    wgpu::Features::SUBGROUP.union(wgpu::Features::SHADER_INT64);

/// Whether an adapter is what [`Capabilities::subgroups8_int64`] says.
fn has_subgroups8_int64(adapter: &wgpu::Adapter) -> bool {
    adapter.features().contains(SUBGROUPS8_INT64_FEATURES)
        && adapter.get_info().subgroup_min_size >= 8
}

/// NVIDIA's vendor ID.
const NVIDIA: u32 = 0x10de;

/// Whether an adapter is known to have an instruction for dot products of bytes, and naga to make
/// one of them. Vulkan would tell, wgpu doesn't. Where drivers have to imitate them they take seven
/// to fifteen times as long as floats do (docs/notes/2026-11-27-amd-intel-compilers.md), and some
/// of Microsoft's compilers refuse them: what else has it is left to tuning.
fn has_packed_dot(adapter: &wgpu::Adapter) -> bool {
    let info = adapter.get_info();
    info.vendor == NVIDIA && info.backend == wgpu::Backend::Vulkan
}

/// The limits to ask for: the WebGPU defaults, raised to the adapter's where more is of use.
fn limits(
    adapter: &AdapterSummary,
    has: &wgpu::Limits,
    webgpu: bool,
) -> Result<wgpu::Limits, GpuError> {
    let mut limits = wgpu::Limits::default();
    let needs = [
        (
            "max_storage_buffers_per_shader_stage",
            u64::from(has.max_storage_buffers_per_shader_stage),
            8,
        ),
        (
            "max_compute_workgroup_storage_size",
            u64::from(has.max_compute_workgroup_storage_size),
            16 << 10,
        ),
        (
            "max_compute_invocations_per_workgroup",
            u64::from(has.max_compute_invocations_per_workgroup),
            256,
        ),
        (
            "max_storage_buffer_binding_size",
            has.max_storage_buffer_binding_size,
            WEBGPU.max_binding,
        ),
    ];
    for (limit, has, needs) in needs {
        if has < needs {
            return Err(GpuError::Limit {
                adapter: adapter.to_string(),
                limit,
                has,
                needs,
            });
        }
    }
    // Rendering limits are of no use here, and some adapters are below the defaults.
    limits = limits.or_worse_values_from(has);
    if !webgpu {
        limits.max_buffer_size = has.max_buffer_size;
        limits.max_storage_buffer_binding_size = has.max_storage_buffer_binding_size;
        limits.max_compute_workgroups_per_dimension = has.max_compute_workgroups_per_dimension;
        limits.max_compute_workgroup_storage_size = has.max_compute_workgroup_storage_size;
    }
    Ok(limits)
}
