//! The features and limits of an adapter or a device that kernels use.

use godwit_shaders::capabilities::{COOPERATIVE_MATRIX_WORKGROUP_BYTES, WEBGPU};

/// The features that kernels for cooperative matrices use.
pub(super) const COOPERATIVE_MATRIX_FEATURES: wgpu::Features =
    wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX
        .union(wgpu::Features::SHADER_F16)
        .union(wgpu::Features::SUBGROUP);

/// What a device has: one that is to be opened all that its adapter has, one that is open what it
/// was created with.
pub(super) struct Has {
    pub info: wgpu::AdapterInfo,
    pub features: wgpu::Features,
    pub limits: wgpu::Limits,
    cooperative_matrices: Vec<wgpu::CooperativeMatrixProperties>,
}

impl Has {
    pub fn of_adapter(adapter: &wgpu::Adapter) -> Self {
        Self {
            info: adapter.get_info(),
            features: adapter.features(),
            limits: adapter.limits(),
            cooperative_matrices: adapter.cooperative_matrix_properties(),
        }
    }

    pub fn of_device(adapter: &wgpu::Adapter, device: &wgpu::Device) -> Self {
        Self {
            features: device.features(),
            limits: device.limits(),
            ..Self::of_adapter(adapter)
        }
    }

    /// Whether it is what [`Capabilities::cooperative_matrix`] says.
    ///
    /// [`Capabilities::cooperative_matrix`]: godwit_shaders::Capabilities::cooperative_matrix
    pub fn cooperative_matrix(&self) -> bool {
        use wgpu::CooperativeScalarType::{F16, F32};
        self.features.contains(COOPERATIVE_MATRIX_FEATURES)
            && self.subgroups32()
            && self.limits.max_compute_workgroup_storage_size >= COOPERATIVE_MATRIX_WORKGROUP_BYTES
            && self.cooperative_matrices.iter().any(|properties| {
                (properties.m_size, properties.n_size, properties.k_size) == (16, 16, 16)
                    && (properties.ab_type, properties.cr_type) == (F16, F32)
            })
    }

    /// Whether subgroups are of 32.
    pub fn subgroups32(&self) -> bool {
        (self.info.subgroup_min_size, self.info.subgroup_max_size) == (32, 32)
    }

    /// Whether it is what [`Capabilities::subgroups8_int64`] says.
    ///
    /// [`Capabilities::subgroups8_int64`]: godwit_shaders::Capabilities::subgroups8_int64
    pub fn subgroups8_int64(&self) -> bool {
        self.features.contains(SUBGROUPS8_INT64_FEATURES) && self.info.subgroup_min_size >= 8
    }

    /// Whether it is known to have an instruction for dot products of bytes, and naga to make one
    /// of them. Vulkan would tell, wgpu doesn't. Where drivers have to imitate them they take seven
    /// to fifteen times as long as floats do (docs/notes/2026-11-27-amd-intel-compilers.md), and
    /// some of Microsoft's compilers refuse them: what else has it is left to tuning.
    pub fn packed_dot(&self) -> bool {
        self.info.vendor == NVIDIA && self.info.backend == wgpu::Backend::Vulkan
    }

    /// The first limit that is below the least that kernels work with: its name, its value, and the
    /// least.
    pub fn limit_too_small(&self) -> Option<(&'static str, u64, u64)> {
        let has = &self.limits;
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
        needs.into_iter().find(|(_, has, needs)| has < needs)
    }
}

pub(super) const NATIVE: bool = cfg!(not(target_arch = "wasm32"));

/// The features that kernels for CPUs use.
pub(super) const SUBGROUPS8_INT64_FEATURES: wgpu::Features =
    wgpu::Features::SUBGROUP.union(wgpu::Features::SHADER_INT64);

/// NVIDIA's vendor ID.
const NVIDIA: u32 = 0x10de;

/// The limits to ask for: the WebGPU defaults, raised to the adapter's where more is of use.
pub(super) fn limits(has: &wgpu::Limits, webgpu: bool) -> wgpu::Limits {
    // Rendering limits are of no use here, and some adapters are below the defaults.
    let mut limits = wgpu::Limits::default().or_worse_values_from(has);
    if !webgpu {
        limits.max_buffer_size = has.max_buffer_size;
        limits.max_storage_buffer_binding_size = has.max_storage_buffer_binding_size;
        limits.max_compute_workgroups_per_dimension = has.max_compute_workgroups_per_dimension;
        limits.max_compute_workgroup_storage_size = has.max_compute_workgroup_storage_size;
    }
    limits
}
