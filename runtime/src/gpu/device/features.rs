//! The features and limits of an adapter that kernels use.

use godwit_shaders::capabilities::{COOPERATIVE_MATRIX_WORKGROUP_BYTES, WEBGPU};

use crate::gpu::GpuError;
use crate::gpu::adapters::AdapterSummary;

/// The features that kernels for cooperative matrices use.
pub(super) const COOPERATIVE_MATRIX_FEATURES: wgpu::Features =
    wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX
        .union(wgpu::Features::SHADER_F16)
        .union(wgpu::Features::SUBGROUP);

/// Whether an adapter is what [`Capabilities::cooperative_matrix`] says.
///
/// [`Capabilities::cooperative_matrix`]: godwit_shaders::Capabilities::cooperative_matrix
pub(super) fn has_cooperative_matrix(adapter: &wgpu::Adapter) -> bool {
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

pub(super) const NATIVE: bool = cfg!(not(target_arch = "wasm32"));

/// Whether subgroups are of 32.
pub(super) fn has_subgroups32(adapter: &wgpu::Adapter) -> bool {
    let info = adapter.get_info();
    (info.subgroup_min_size, info.subgroup_max_size) == (32, 32)
}

/// The features that kernels for CPUs use.
pub(super) const SUBGROUPS8_INT64_FEATURES: wgpu::Features =
    wgpu::Features::SUBGROUP.union(wgpu::Features::SHADER_INT64);

/// Whether an adapter is what [`Capabilities::subgroups8_int64`] says.
///
/// [`Capabilities::subgroups8_int64`]: godwit_shaders::Capabilities::subgroups8_int64
pub(super) fn has_subgroups8_int64(adapter: &wgpu::Adapter) -> bool {
    adapter.features().contains(SUBGROUPS8_INT64_FEATURES)
        && adapter.get_info().subgroup_min_size >= 8
}

/// NVIDIA's vendor ID.
const NVIDIA: u32 = 0x10de;

/// Whether an adapter is known to have an instruction for dot products of bytes, and naga to make
/// one of them. Vulkan would tell, wgpu doesn't. Where drivers have to imitate them they take seven
/// to fifteen times as long as floats do (docs/notes/2026-11-27-amd-intel-compilers.md), and some
/// of Microsoft's compilers refuse them: what else has it is left to tuning.
pub(super) fn has_packed_dot(adapter: &wgpu::Adapter) -> bool {
    let info = adapter.get_info();
    info.vendor == NVIDIA && info.backend == wgpu::Backend::Vulkan
}

/// The limits to ask for: the WebGPU defaults, raised to the adapter's where more is of use.
pub(super) fn limits(
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
