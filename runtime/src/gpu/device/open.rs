//! Opening a device: the first adapter that works, with the features and limits that kernels use.

use std::sync::{Arc, Mutex, PoisonError};

use godwit_shaders::Capabilities;
use godwit_shaders::capabilities::{BINDING_ALIGNMENT, CPU, GPU};

use super::errors::Errors;
use super::features::{Has, NATIVE, limits};
use super::{Gpu, Inner};
use crate::gpu::adapters::{self, AdapterSummary, GpuOptions};
use crate::gpu::allocate::Budget;
use crate::gpu::submission_scheduler::{IN_FLIGHT_BUDGET, SUBMIT_BUDGET, SubmissionScheduler};
use crate::gpu::{GpuError, list};

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

    pub(super) async fn open_next_of(
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
    pub(super) async fn open_first(
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
        let wanted = Self::wanted_of(&summary, &adapter, options)?;
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("godwit"),
            required_features: wanted.features,
            required_limits: wanted.limits,
            experimental_features: wanted.experimental_features,
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
        device.set_device_lost_callback(move |reason, message| {
            let cause = match (message.is_empty(), reason) {
                (false, _) => message,
                (true, wgpu::DeviceLostReason::Destroyed) => "the program destroyed it".into(),
                (true, reason) => format!("{reason:?}"),
            };
            let mut errors = noted.lock().unwrap_or_else(PoisonError::into_inner);
            // A lost device reports other errors, too: they have this cause.
            errors.lasting = Some(GpuError::Lost { cause });
        });
        let has = Has::of_device(&adapter, &device);
        let parts = Parts {
            device,
            queue,
            summary,
            errors,
            is_shared: false,
            passed_over: passed_over.to_vec(),
            is_replaceable,
        };
        Ok(Self::assemble(parts, &has, options))
    }

    /// A GPU of an open device.
    pub(super) fn assemble(parts: Parts, has: &Has, options: &GpuOptions) -> Self {
        let Parts {
            device,
            queue,
            summary,
            errors,
            is_shared,
            passed_over,
            is_replaceable,
        } = parts;
        let cpu = options.cpu.unwrap_or(summary.is_cpu());
        // A host's device may have more than is to be used of it.
        let optional = !options.webgpu_limits;
        let subgroups = optional && has.features.contains(wgpu::Features::SUBGROUP);
        let limits = match optional {
            true => has.limits.clone(),
            false => limits(&has.limits, true),
        };
        let caps = Capabilities {
            subgroups,
            // wgpu doesn't ask browsers for subgroups, and nobody has compiled such kernels in one.
            subgroups32: NATIVE && subgroups && has.subgroups32(),
            shader_f16: optional && has.features.contains(wgpu::Features::SHADER_F16),
            cooperative_matrix: optional && has.cooperative_matrix(),
            subgroups8_int64: optional && has.subgroups8_int64(),
            packed_dot: options.packed_dot.unwrap_or_else(|| has.packed_dot()),
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
        tracing::info!("computing on {summary}");
        tracing::debug!(is_shared, ?caps, "opened {summary}");
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
            is_shared,
            passed_over,
            is_replaceable,
            #[cfg(test)]
            refused_kernel: Mutex::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }
}

/// An open device, and how it came to be.
pub(super) struct Parts {
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    pub summary: AdapterSummary,
    pub errors: Arc<Mutex<Errors>>,
    pub is_shared: bool,
    pub passed_over: Vec<GpuError>,
    pub is_replaceable: bool,
}
