//! Which GPUs there are, and which one is meant.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use godwit_shaders::capabilities::Tuning;

use super::GpuError;
use super::hints::driver_hint;
use crate::setters::setters;

/// A graphics interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// Vulkan: Linux, Windows, Android.
    Vulkan,
    /// Metal: macOS, iOS.
    Metal,
    /// Direct3D 12: Windows.
    Dx12,
    /// OpenGL ES 3.1.
    Gl,
    /// A browser's WebGPU.
    WebGpu,
}

impl Backend {
    const ALL: [(Backend, &'static str, wgpu::Backends); 5] = [
        (Backend::Vulkan, "vulkan", wgpu::Backends::VULKAN),
        (Backend::Metal, "metal", wgpu::Backends::METAL),
        (Backend::Dx12, "dx12", wgpu::Backends::DX12),
        (Backend::Gl, "gl", wgpu::Backends::GL),
        (Backend::WebGpu, "webgpu", wgpu::Backends::BROWSER_WEBGPU),
    ];

    fn flag(self) -> wgpu::Backends {
        Self::ALL
            .into_iter()
            .filter(|(backend, ..)| *backend == self)
            .map(|(.., flag)| flag)
            .collect()
    }

    fn of(backend: wgpu::Backend) -> Self {
        match backend {
            wgpu::Backend::Metal => Backend::Metal,
            wgpu::Backend::Dx12 => Backend::Dx12,
            wgpu::Backend::Gl => Backend::Gl,
            wgpu::Backend::BrowserWebGpu => Backend::WebGpu,
            _ => Backend::Vulkan,
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL
            .into_iter()
            .find(|(backend, ..)| backend == self)
            .map_or("", |(_, name, _)| name);
        f.pad(name)
    }
}

impl FromStr for Backend {
    type Err = GpuError;

    fn from_str(name: &str) -> Result<Self, GpuError> {
        let found = Self::ALL
            .into_iter()
            .find(|(_, known, _)| known.eq_ignore_ascii_case(name));
        found
            .map(|(backend, ..)| backend)
            .ok_or_else(|| GpuError::UnknownBackend(name.into()))
    }
}

/// Which adapter to open, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GpuOptions {
    /// Part of the adapter's name (any case), or its index in [`list`]. None: the fastest kind
    /// there is.
    pub adapter: Option<String>,
    /// Only adapters of this backend. None: any, the native ones first.
    pub backend: Option<Backend>,
    /// Ask for no more than every WebGPU device has: no optional features, the default limits.
    pub webgpu_limits: bool,
    /// Bytes of GPU memory to take at most, for those who share the GPU with something else. None:
    /// what there is.
    pub memory: Option<u64>,
    /// Bytes of the largest storage binding to use, 1 MiB or more: to try on a large device what a
    /// small one does. None: what there is.
    pub max_binding: Option<u64>,
    /// How work is cut up; checked by [`Tuning::validate`]. None: what suits the adapter.
    pub tuning: Option<Tuning>,
    /// What one submission may take on the GPU, about. None:
    /// [`SUBMIT_BUDGET`](super::SUBMIT_BUDGET).
    pub submit_budget: Option<Duration>,
    /// What the decode steps in flight may take on the GPU together, about: what is lost where a
    /// reply ends. None: [`IN_FLIGHT_BUDGET`](super::IN_FLIGHT_BUDGET).
    pub in_flight_budget: Option<Duration>,
    /// Whether kernels for CPUs run on it: to try those for GPUs on a CPU that imitates one. None:
    /// as the adapter says.
    pub cpu: Option<bool>,
    /// Whether it has an instruction for dot products of four bytes, which decides how one token is
    /// computed where nobody tunes. None: as far as the adapter says.
    pub packed_dot: Option<bool>,
}

setters! { GpuOptions {
    adapter: Option<String>,
    backend: Option<Backend>,
    webgpu_limits: bool,
    memory: Option<u64>,
    max_binding: Option<u64>,
    tuning: Option<Tuning>,
    submit_budget: Option<Duration>,
    in_flight_budget: Option<Duration>,
    cpu: Option<bool>,
    packed_dot: Option<bool>,
} }

/// The smallest [`GpuOptions::max_binding`].
const LEAST_BINDING: u64 = 64 << 10;

impl GpuOptions {
    /// Checks what an application or a person may have got wrong.
    pub(super) fn validate(&self) -> Result<(), GpuError> {
        if let Some(tuning) = self.tuning {
            tuning.validate()?;
        }
        match self.max_binding {
            Some(value) if value < LEAST_BINDING => Err(GpuError::MaxBinding {
                value,
                least: LEAST_BINDING,
            }),
            _ => Ok(()),
        }
    }
}

/// An adapter, as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AdapterSummary {
    /// Its place in [`list`].
    pub index: usize,
    /// Its name.
    pub name: String,
    /// The driver's name and version.
    pub driver: String,
    /// The interface it is reached by.
    pub backend: Backend,
    /// `discrete GPU`, `integrated GPU`, `virtual GPU`, `CPU`, `other`.
    pub kind: &'static str,
    /// Bytes of the largest storage binding.
    pub max_binding: u64,
    /// Bytes of the largest buffer.
    pub max_buffer: u64,
    /// Optional features that kernels may use.
    pub features: Vec<&'static str>,
}

impl AdapterSummary {
    /// An adapter, with the limits and features that it or its device has.
    pub(super) fn new(
        index: usize,
        info: &wgpu::AdapterInfo,
        limits: &wgpu::Limits,
        features: wgpu::Features,
    ) -> Self {
        let known = [
            (wgpu::Features::SUBGROUP, "subgroups"),
            (wgpu::Features::SHADER_F16, "f16"),
            (wgpu::Features::TIMESTAMP_QUERY, "timestamps"),
        ];
        Self {
            index,
            driver: format!("{} {}", info.driver, info.driver_info)
                .trim()
                .to_owned(),
            backend: Backend::of(info.backend),
            kind: kind(info.device_type),
            max_binding: limits.max_storage_buffer_binding_size,
            max_buffer: limits.max_buffer_size,
            features: known
                .into_iter()
                .filter(|(f, _)| features.contains(*f))
                .map(|(_, name)| name)
                .collect(),
            name: info.name.clone(),
        }
    }

    /// Whether it computes on a CPU.
    pub fn is_cpu(&self) -> bool {
        self.kind == kind(wgpu::DeviceType::Cpu)
    }
}

impl fmt::Display for AdapterSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {})", self.name, self.backend, self.kind)
    }
}

fn kind(kind: wgpu::DeviceType) -> &'static str {
    match kind {
        wgpu::DeviceType::DiscreteGpu => "discrete GPU",
        wgpu::DeviceType::IntegratedGpu => "integrated GPU",
        wgpu::DeviceType::VirtualGpu => "virtual GPU",
        wgpu::DeviceType::Cpu => "CPU",
        wgpu::DeviceType::Other => "other",
    }
}

/// All adapters of the backend that `options` names (or of all), the fastest kinds first.
pub async fn list(options: &GpuOptions) -> Vec<AdapterSummary> {
    enumerate(options)
        .await
        .into_iter()
        .map(|(summary, _)| summary)
        .collect()
}

/// The adapters of the asked-for backend; else of all, OpenGL only where there is nothing better.
async fn enumerate(options: &GpuOptions) -> Vec<(AdapterSummary, wgpu::Adapter)> {
    if let Some(backend) = options.backend {
        return enumerate_backends(backend.flag()).await;
    }
    let found = enumerate_backends(wgpu::Backends::all() - wgpu::Backends::GL).await;
    if found.is_empty() {
        enumerate_backends(wgpu::Backends::GL).await
    } else {
        found
    }
}

async fn enumerate_backends(backends: wgpu::Backends) -> Vec<(AdapterSummary, wgpu::Adapter)> {
    let descriptor = wgpu::InstanceDescriptor {
        backends,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    };
    let instance = wgpu::Instance::new(descriptor);
    #[cfg(not(target_arch = "wasm32"))]
    let mut adapters = instance.enumerate_adapters(backends).await;
    #[cfg(target_arch = "wasm32")]
    let mut adapters: Vec<_> = {
        let request = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..Default::default()
        };
        instance
            .request_adapter(&request)
            .await
            .into_iter()
            .collect()
    };
    let rank = |adapter: &wgpu::Adapter| match adapter.get_info().device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    };
    adapters.sort_by_key(rank);
    adapters
        .into_iter()
        .enumerate()
        .map(|(i, adapter)| {
            let (info, limits) = (adapter.get_info(), adapter.limits());
            let summary = AdapterSummary::new(i, &info, &limits, adapter.features());
            (summary, adapter)
        })
        .collect()
}

/// What to do about a backend that this platform does not have.
fn absent_hint(backend: Backend) -> Option<String> {
    let there = wgpu::Instance::enabled_backend_features();
    if there.contains(backend.flag()) {
        return None;
    }
    let names: Vec<&str> = Backend::ALL
        .iter()
        .filter(|(.., flag)| there.contains(*flag))
        .map(|(_, name, _)| *name)
        .collect();
    Some(format!(
        "this platform does not have it, but {}",
        names.join(" and ")
    ))
}

/// The adapters that `options` may mean, the fastest kinds first: the one that is named, or all of
/// the backend. Never empty.
pub(super) async fn candidates(
    options: &GpuOptions,
) -> Result<Vec<(AdapterSummary, wgpu::Adapter)>, GpuError> {
    let all = enumerate(options).await;
    let names: Vec<String> = all
        .iter()
        .map(|(summary, _)| format!("[{}] {summary}", summary.index))
        .collect();
    let Some(wanted) = options.adapter.as_deref() else {
        if all.is_empty() {
            let asked = options
                .backend
                .map(|backend| format!(" for the backend {backend}"));
            let remedy = options
                .backend
                .and_then(absent_hint)
                .unwrap_or_else(driver_hint);
            return Err(GpuError::NoAdapter {
                asked: asked.unwrap_or_default(),
                remedy,
            });
        }
        return Ok(all);
    };
    let found = all.into_iter().find(|(summary, _)| {
        wanted.parse() == Ok(summary.index)
            || summary.name.to_lowercase().contains(&wanted.to_lowercase())
    });
    let none = || match names.is_empty() {
        true => GpuError::NoAdapter {
            asked: String::new(),
            remedy: driver_hint(),
        },
        false => GpuError::NoMatch {
            asked: wanted.into(),
            available: names.join(", "),
        },
    };
    found.map(|one| vec![one]).ok_or_else(none)
}
