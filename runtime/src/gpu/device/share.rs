//! A host's device: what Godwit would like of it, and its use without waiting or handlers.

use std::sync::{Arc, PoisonError};

use super::features::{COOPERATIVE_MATRIX_FEATURES, Has, SUBGROUPS8_INT64_FEATURES, limits};
use super::open::Parts;
use super::{AdapterSummary, Gpu};
use crate::gpu::GpuError;
use crate::gpu::adapters::GpuOptions;

/// The features and limits that Godwit would like a device to have. It also runs on devices that
/// have less, down to the WebGPU defaults, but slower.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Wanted {
    /// Features that the adapter has and kernels use.
    pub features: wgpu::Features,
    /// Limits that the adapter allows: the WebGPU defaults, with larger buffers where there are.
    pub limits: wgpu::Limits,
    /// Enabled where `features` has one that wgpu calls experimental: cooperative matrices.
    pub experimental_features: wgpu::ExperimentalFeatures,
}

impl Wanted {
    /// Adds the features and limits to those of a descriptor. What it has stays, or becomes better.
    pub fn add_to(&self, descriptor: &mut wgpu::DeviceDescriptor<'_>) {
        descriptor.required_features |= self.features;
        let limits = descriptor.required_limits.clone();
        descriptor.required_limits = limits.or_better_values_from(&self.limits);
        if self.experimental_features.is_enabled() {
            descriptor.experimental_features = self.experimental_features;
        }
    }
}

impl Gpu {
    /// The features and limits that Godwit would like a device of this adapter to have. A host adds
    /// them to its own ([`Wanted::add_to`]) when it creates the device that it will
    /// [share](Gpu::share).
    ///
    /// # Errors
    /// The adapter is below the WebGPU defaults, or an option has a value that nothing works with.
    pub fn wanted(adapter: &wgpu::Adapter, options: &GpuOptions) -> Result<Wanted, GpuError> {
        options.validate()?;
        let has = Has::of_adapter(adapter);
        Self::wanted_of(
            &AdapterSummary::new(0, &has.info, &has.limits, has.features),
            adapter,
            options,
        )
    }

    pub(super) fn wanted_of(
        summary: &AdapterSummary,
        adapter: &wgpu::Adapter,
        options: &GpuOptions,
    ) -> Result<Wanted, GpuError> {
        let has = Has::of_adapter(adapter);
        if let Some((limit, has, needs)) = has.limit_too_small() {
            return Err(GpuError::Limit {
                adapter: summary.to_string(),
                limit,
                has,
                needs,
            });
        }
        let limits = limits(&has.limits, options.webgpu_limits);
        if options.webgpu_limits {
            return Ok(Wanted {
                features: wgpu::Features::empty(),
                limits,
                experimental_features: wgpu::ExperimentalFeatures::disabled(),
            });
        }
        let mut features =
            wgpu::Features::SUBGROUP | wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::SHADER_F16;
        let cooperative_matrix = has.cooperative_matrix();
        if cooperative_matrix {
            features |= COOPERATIVE_MATRIX_FEATURES;
        }
        if has.subgroups8_int64() {
            features |= SUBGROUPS8_INT64_FEATURES;
        }
        let experimental_features = match cooperative_matrix {
            // SAFETY: the only experimental feature asked for is that of cooperative matrices. What
            // wgpu does not check of them: that loads and stores are inside their array, and that
            // all invocations of a subgroup reach them together. Kernels load and store them in
            // their own workgroup arrays only (`cooperative_matrices_stay_in_workgroup_memory` in
            // the test `shaders`), at places that constants and the subgroup's number decide;
            // behind no branch but those that the whole workgroup takes, with subgroups of 32
            // (`Has::subgroups32`), of which workgroups are whole multiples (the same test). The
            // kernels' cases run on GPUs that have them. Prefill is several times as fast for it
            // (docs/notes/2026-11-27-h100-prefill.md).
            true => unsafe { wgpu::ExperimentalFeatures::enabled() },
            false => wgpu::ExperimentalFeatures::disabled(),
        };
        Ok(Wanted {
            features: has.features.intersection(features),
            limits,
            experimental_features,
        })
    }

    /// Uses the device of a host: a renderer's, an engine's. `adapter` is the one that it was
    /// created from. What the device has decides which kernels run: see [`Gpu::wanted`]. Of the
    /// options, `adapter` and `backend` do not count.
    ///
    /// Godwit never waits for the device, sets none of its handlers, and does not destroy it. Its
    /// own errors are caught where they arise. Callbacks run where anyone polls the device or
    /// submits; futures that wait for the GPU poll it, without blocking, from the thread that polls
    /// them. What a program does on the thread that renders is
    /// [`Scheduler::step`](crate::scheduler::Scheduler::step).
    ///
    /// # Errors
    /// The device is below the WebGPU defaults, or an option has a value that nothing works with.
    pub fn share(
        adapter: &wgpu::Adapter,
        device: wgpu::Device,
        queue: wgpu::Queue,
        options: &GpuOptions,
    ) -> Result<Self, GpuError> {
        options.validate()?;
        let has = Has::of_device(adapter, &device);
        let summary = AdapterSummary::new(0, &has.info, &has.limits, has.features);
        if let Some((limit, has, needs)) = has.limit_too_small() {
            return Err(GpuError::SharedLimit {
                adapter: summary.to_string(),
                limit,
                has,
                needs,
            });
        }
        let parts = Parts {
            device,
            queue,
            summary,
            errors: Arc::default(),
            is_shared: true,
            passed_over: Vec::new(),
            is_replaceable: false,
        };
        Ok(Self::assemble(parts, &has, options))
    }

    /// Tells Godwit that a shared device is lost: to be called from the host's device-lost
    /// callback, which Godwit does not replace. Every operation ends with this reason from then on,
    /// also one that is waiting. It may be called from any thread, and more than once.
    pub fn notify_lost(&self, reason: &str) {
        let cause = match reason.is_empty() {
            true => "the host of the device gave no reason".into(),
            false => reason.into(),
        };
        let mut errors = self
            .inner
            .errors
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        errors.lasting = Some(GpuError::Lost { cause });
    }
}
