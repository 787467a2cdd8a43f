//! What a device can do, as far as kernels are concerned. Resolved once, when the device is opened.

#[cfg(test)]
mod tests;

use std::ops::RangeInclusive;

use thiserror::Error;

/// Features and limits that decide which variants run, and in which shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Subgroup operations.
    pub subgroups: bool,
    /// Subgroups of exactly 32 invocations, which are neighbours in their workgroup.
    pub subgroups32: bool,
    /// Arithmetic in f16.
    pub shader_f16: bool,
    /// Cooperative matrices: products of 16 x 16 f16 with sums in f32, by subgroups of 32, with
    /// [`COOPERATIVE_MATRIX_WORKGROUP_BYTES`] bytes of workgroup memory.
    pub cooperative_matrix: bool,
    /// Subgroups of eight or more, and 64-bit integers. Kernels for CPUs use both.
    pub subgroups8_int64: bool,
    /// Whether the packed dot product of four bytes (dp4a) is an instruction.
    pub packed_dot: bool,
    /// Largest storage buffer binding, in bytes.
    pub max_binding: u64,
    /// Largest buffer, in bytes.
    pub max_buffer: u64,
    /// Workgroups in one dimension of a dispatch.
    pub max_workgroups: u32,
    /// Whether the device is a CPU: few wide cores, no latency to hide.
    pub cpu: bool,
    /// How work is divided. No value changes answers.
    pub tuning: Tuning,
}

impl Capabilities {
    /// The same device with a tuning by which GEMMs compute matmuls of a few rows.
    pub const fn without_few_rows(mut self) -> Self {
        self.tuning.few_rows_up_to = 1;
        self
    }
}

/// An algorithm for matmul. Each is a variant of the kernel, by the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatmulMethod {
    /// GEMV for GPUs: several invocations share a row, and add up their sums.
    Gemv,
    /// GEMV for GPUs with packed dot products, for formats of integer codes.
    GemvDp4a,
    /// GEMV for CPUs: an invocation computes eight rows.
    CpuGemv,
    /// GEMV for CPUs with subgroups: the same, and inputs are broadcast.
    CpuGemvSubgroup,
    /// Few rows of `x` for GPUs: per row as [`MatmulMethod::Gemv`].
    FewRows,
    /// Few rows of `x` for CPUs: per row as [`MatmulMethod::CpuGemv`].
    CpuFewRows,
    /// Few rows of `x` for CPUs with subgroups: per row as [`MatmulMethod::CpuGemvSubgroup`].
    CpuFewRowsSubgroup,
    /// GEMM for GPUs: tiles in workgroup memory.
    Gemm,
    /// GEMM for GPUs: tiles in workgroup memory, arithmetic in f16.
    GemmF16,
    /// GEMM for GPUs with cooperative matrices.
    GemmCoop,
    /// GEMM for CPUs: an invocation computes its rows for one token after the other.
    CpuGemm,
    /// GEMM for CPUs with subgroups: the same, and inputs are broadcast.
    CpuGemmSubgroup,
}

impl MatmulMethod {
    /// All methods, in the order of the kernel's variants.
    pub const ALL: [Self; 12] = [
        Self::Gemv,
        Self::GemvDp4a,
        Self::CpuGemv,
        Self::CpuGemvSubgroup,
        Self::FewRows,
        Self::CpuFewRows,
        Self::CpuFewRowsSubgroup,
        Self::Gemm,
        Self::GemmF16,
        Self::GemmCoop,
        Self::CpuGemm,
        Self::CpuGemmSubgroup,
    ];

    /// The name of the method and of its variant, such as `gemv_dp4a`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gemv => "gemv",
            Self::GemvDp4a => "gemv_dp4a",
            Self::CpuGemv => "cpu_gemv",
            Self::CpuGemvSubgroup => "cpu_gemv_subgroup",
            Self::FewRows => "few_rows",
            Self::CpuFewRows => "cpu_few_rows",
            Self::CpuFewRowsSubgroup => "cpu_few_rows_subgroup",
            Self::Gemm => "gemm",
            Self::GemmF16 => "gemm_f16",
            Self::GemmCoop => "gemm_coop",
            Self::CpuGemm => "cpu_gemm",
            Self::CpuGemmSubgroup => "cpu_gemm_subgroup",
        }
    }

    /// The class of the method.
    pub const fn class(self) -> MatmulClass {
        match self {
            Self::Gemv | Self::GemvDp4a | Self::CpuGemv | Self::CpuGemvSubgroup => {
                MatmulClass::Gemv
            }
            Self::FewRows | Self::CpuFewRows | Self::CpuFewRowsSubgroup => MatmulClass::FewRows,
            Self::Gemm | Self::GemmF16 | Self::GemmCoop | Self::CpuGemm | Self::CpuGemmSubgroup => {
                MatmulClass::Gemm
            }
        }
    }

    /// All methods of a class.
    pub fn all_of(class: MatmulClass) -> impl Iterator<Item = Self> {
        Self::ALL
            .into_iter()
            .filter(move |method| method.class() == class)
    }
}

/// How many rows of `x` a matmul method is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatmulClass {
    /// One row.
    Gemv,
    /// A few rows. The arithmetic of each row is that of the GEMV in the same order, so that its
    /// result does not depend on the number of rows. A dispatch reads the weights once for each
    /// eight rows, and may have any number of rows.
    FewRows,
    /// Many rows.
    Gemm,
}

impl MatmulClass {
    /// The class for plans of up to `chunk` rows, by the tuning.
    pub const fn of(tuning: &Tuning, chunk: u32) -> Self {
        if chunk == 1 {
            Self::Gemv
        } else if chunk <= tuning.few_rows_up_to {
            Self::FewRows
        } else {
            Self::Gemm
        }
    }
}

/// How work is divided for a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// Tokens of a prefill pass: [`Tuning::PREFILL_CHUNK`]. Passes are smaller where activations
    /// of so many tokens exceed a binding.
    pub prefill_chunk: u32,
    /// Workgroups that keep the device busy: [`Tuning::WORKGROUPS`]. Attention splits the
    /// positions until it has as many.
    pub workgroups: u32,
    /// Largest number of decode steps that are submitted before the host has read the token of
    /// the first: [`Tuning::STEPS_IN_FLIGHT`].
    pub steps_in_flight: u32,
    /// The method for one token; `None`: [`MatmulMethod::built_in`].
    pub gemv: Option<MatmulMethod>,
    /// The method for a few tokens; `None`: [`MatmulMethod::built_in`].
    pub few_rows: Option<MatmulMethod>,
    /// The most tokens of a plan for which [`Tuning::few_rows`] computes matmuls, and above which
    /// [`Tuning::gemm`] does: [`Tuning::FEW_ROWS_UP_TO`]. With 1 it computes none.
    pub few_rows_up_to: u32,
    /// The method for many tokens; `None`: [`MatmulMethod::built_in`].
    pub gemm: Option<MatmulMethod>,
}

/// A tuning with a value that no device supports.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the tuning's {field} is {value}, but must be {permitted}")]
pub struct BadTuning {
    /// The field of [`Tuning`].
    pub field: &'static str,
    /// The field's value.
    pub value: String,
    /// The permitted values.
    pub permitted: String,
}

impl Tuning {
    /// Permitted values of [`Tuning::prefill_chunk`]. A dispatch has a workgroup for each token in
    /// one dimension, and activations take memory for each.
    pub const PREFILL_CHUNK: RangeInclusive<u32> = 1..=4096;
    /// Permitted values of [`Tuning::workgroups`]. Attention keeps partials for each KV split.
    pub const WORKGROUPS: RangeInclusive<u32> = 1..=4096;
    /// Permitted values of [`Tuning::steps_in_flight`].
    pub const STEPS_IN_FLIGHT: RangeInclusive<u32> = 1..=64;

    /// Permitted values of [`Tuning::few_rows_up_to`].
    pub const FEW_ROWS_UP_TO: RangeInclusive<u32> = 1..=64;

    /// Checks values that come from an application or a file.
    ///
    /// # Errors
    /// Names the first field whose value is not permitted, and the values that are.
    pub fn validate(&self) -> Result<(), BadTuning> {
        let numbers = [
            ("prefill_chunk", self.prefill_chunk, Self::PREFILL_CHUNK),
            ("workgroups", self.workgroups, Self::WORKGROUPS),
            (
                "steps_in_flight",
                self.steps_in_flight,
                Self::STEPS_IN_FLIGHT,
            ),
            ("few_rows_up_to", self.few_rows_up_to, Self::FEW_ROWS_UP_TO),
        ];
        for (field, value, range) in numbers {
            if !range.contains(&value) {
                let permitted = format!("from {} to {}", range.start(), range.end());
                return Err(BadTuning {
                    field,
                    value: value.to_string(),
                    permitted,
                });
            }
        }
        for (field, method, class) in [
            ("gemv", self.gemv, MatmulClass::Gemv),
            ("few_rows", self.few_rows, MatmulClass::FewRows),
            ("gemm", self.gemm, MatmulClass::Gemm),
        ] {
            if let Some(method) = method.filter(|method| method.class() != class) {
                let names: Vec<_> = MatmulMethod::all_of(class)
                    .map(MatmulMethod::name)
                    .collect();
                let permitted = format!("one of {}", names.join(", "));
                return Err(BadTuning {
                    field,
                    value: method.name().into(),
                    permitted,
                });
            }
        }
        Ok(())
    }
}

/// The tuning for GPUs that were never measured.
pub const GPU: Tuning = Tuning {
    prefill_chunk: 512,
    workgroups: 128,
    steps_in_flight: 8,
    gemv: None,
    few_rows: None,
    few_rows_up_to: 8,
    gemm: None,
};

/// The tuning for CPUs. One workgroup keeps a core busy. Passes are short, because a user can stop
/// only between them.
pub const CPU: Tuning = Tuning {
    prefill_chunk: 64,
    workgroups: 1,
    steps_in_flight: 1,
    gemv: None,
    few_rows: None,
    few_rows_up_to: 8,
    gemm: None,
};

/// The limits that every WebGPU device has.
pub const WEBGPU: Capabilities = Capabilities {
    subgroups: false,
    subgroups32: false,
    shader_f16: false,
    cooperative_matrix: false,
    subgroups8_int64: false,
    packed_dot: false,
    max_binding: 128 << 20,
    max_buffer: 256 << 20,
    max_workgroups: 65_535,
    cpu: false,
    tuning: GPU,
};

/// Most bytes of workgroup memory in variants that use cooperative matrices.
pub const COOPERATIVE_MATRIX_WORKGROUP_BYTES: u32 = 48 << 10;

/// Bindings begin at multiples of this many bytes in every buffer.
pub const BINDING_ALIGNMENT: u64 = 256;
