//! What a device can do, as far as kernels care. Resolved once, when the device is opened.

use std::ops::RangeInclusive;

use thiserror::Error;

use crate::kernels::matmul::Method;

/// Features and limits that decide which variants run and in which shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Subgroup operations.
    pub subgroups: bool,
    /// They are of 32 invocations, neighbours in their workgroup, no more and no fewer.
    pub subgroups32: bool,
    /// Arithmetic in halves.
    pub shader_f16: bool,
    /// Matrix units: products of 16 x 16 halves with sums in f32, by subgroups of 32, and
    /// [`COOPERATIVE_MATRIX_WORKGROUP_BYTES`] bytes of workgroup memory.
    pub cooperative_matrix: bool,
    /// Subgroups of eight and more, and 64-bit integers: what kernels for CPUs use.
    pub subgroups8_int64: bool,
    /// Dot products of four bytes are an instruction.
    pub packed_dot: bool,
    /// Largest storage buffer binding, in bytes.
    pub max_binding: u64,
    /// Largest buffer, in bytes.
    pub max_buffer: u64,
    /// Workgroups in one dimension of a dispatch.
    pub max_workgroups: u32,
    /// Whether the device is a CPU: few wide cores, no latency to hide.
    pub cpu: bool,
    /// How work is cut up. Any value gives the same answers.
    pub tuning: Tuning,
}

/// How work is cut up for a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// Tokens of a prefill pass: [`Tuning::PREFILL_CHUNK`]. Fewer are taken where activations of so
    /// many don't fit a binding.
    pub prefill_chunk: u32,
    /// Workgroups that keep the device busy: attention shares positions out until there are as
    /// many. [`Tuning::WORKGROUPS`].
    pub workgroups: u32,
    /// Decode steps that are submitted before the host has heard of the first one's token, at most:
    /// [`Tuning::STEPS_IN_FLIGHT`].
    pub steps_in_flight: u32,
    /// How products with one token are computed. None: by the built-in table.
    pub gemv: Option<Method>,
    /// How products with many tokens are computed. None: by the built-in table.
    pub gemm: Option<Method>,
}

/// A tuning that no device can work with.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the tuning's {field} is {value}, but must be {permitted}")]
pub struct BadTuning {
    /// The field of [`Tuning`].
    pub field: &'static str,
    /// What it is.
    pub value: String,
    /// What it may be.
    pub permitted: String,
}

impl Tuning {
    /// The values that [`Tuning::prefill_chunk`] may have. A dispatch has a workgroup for each
    /// token in one dimension, and activations take memory for each.
    pub const PREFILL_CHUNK: RangeInclusive<u32> = 1..=4096;
    /// The values that [`Tuning::workgroups`] may have. Attention keeps a state for each split.
    pub const WORKGROUPS: RangeInclusive<u32> = 1..=4096;
    /// The values that [`Tuning::steps_in_flight`] may have.
    pub const STEPS_IN_FLIGHT: RangeInclusive<u32> = 1..=64;

    /// Checks values that come from outside: an application's, or a file's.
    ///
    /// # Errors
    /// Names the first field with a value that it may not have, and the values that it may.
    pub fn validate(&self) -> Result<(), BadTuning> {
        let numbers = [
            ("prefill_chunk", self.prefill_chunk, Self::PREFILL_CHUNK),
            ("workgroups", self.workgroups, Self::WORKGROUPS),
            (
                "steps_in_flight",
                self.steps_in_flight,
                Self::STEPS_IN_FLIGHT,
            ),
        ];
        if let Some((field, value, range)) = numbers
            .into_iter()
            .find(|(_, value, range)| !range.contains(value))
        {
            let permitted = format!("from {} to {}", range.start(), range.end());
            return Err(BadTuning {
                field,
                value: value.to_string(),
                permitted,
            });
        }
        for (field, method, chunk) in [("gemv", self.gemv, 1), ("gemm", self.gemm, 2)] {
            if let Some(method) = method.filter(|method| !method.is_for(chunk)) {
                let names: Vec<_> = Method::ALL
                    .into_iter()
                    .filter(|known| known.is_for(chunk))
                    .map(Method::name)
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

/// What suits GPUs.
pub const GPU: Tuning = Tuning {
    prefill_chunk: 512,
    workgroups: 128,
    steps_in_flight: 8,
    gemv: None,
    gemm: None,
};

/// What suits CPUs: a workgroup keeps a core busy, and between passes is the only time to stop.
pub const CPU: Tuning = Tuning {
    prefill_chunk: 64,
    workgroups: 1,
    steps_in_flight: 1,
    gemv: None,
    gemm: None,
};

/// The limits every WebGPU device has.
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

/// Bytes of workgroup memory that kernels for matrix units take at most.
pub const COOPERATIVE_MATRIX_WORKGROUP_BYTES: u32 = 48 << 10;

/// Bindings begin at multiples of this many bytes in every buffer.
pub const BINDING_ALIGNMENT: u64 = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tuning_is_refused_by_field_value_and_what_is_permitted() {
        for good in [
            GPU,
            CPU,
            Tuning {
                prefill_chunk: 1,
                workgroups: 1,
                steps_in_flight: 1,
                ..GPU
            },
            Tuning {
                prefill_chunk: 37,
                workgroups: 3,
                steps_in_flight: 5,
                ..GPU
            },
            Tuning {
                prefill_chunk: 4096,
                workgroups: 4096,
                steps_in_flight: 64,
                ..GPU
            },
            Tuning {
                gemv: Some(Method::CpuGemv),
                gemm: Some(Method::GemmCoop),
                ..GPU
            },
        ] {
            assert_eq!(good.validate(), Ok(()), "{good:?}");
        }
        for (bad, wanted) in [
            (
                Tuning {
                    prefill_chunk: 0,
                    ..GPU
                },
                "prefill_chunk is 0, but must be from 1 to 4096",
            ),
            (
                Tuning {
                    prefill_chunk: 4097,
                    ..GPU
                },
                "prefill_chunk is 4097, but must be from 1 to 4096",
            ),
            (
                Tuning {
                    prefill_chunk: u32::MAX,
                    ..GPU
                },
                "prefill_chunk is 4294967295, but must be from 1 to 4096",
            ),
            (
                Tuning {
                    workgroups: 0,
                    ..GPU
                },
                "workgroups is 0, but must be from 1 to 4096",
            ),
            (
                Tuning {
                    workgroups: u32::MAX,
                    ..GPU
                },
                "workgroups is 4294967295, but must be from 1 to 4096",
            ),
            (
                Tuning {
                    steps_in_flight: 0,
                    ..GPU
                },
                "steps_in_flight is 0, but must be from 1 to 64",
            ),
            (
                Tuning {
                    steps_in_flight: u32::MAX,
                    ..GPU
                },
                "steps_in_flight is 4294967295, but must be from 1 to 64",
            ),
            (
                Tuning {
                    gemv: Some(Method::Gemm),
                    ..GPU
                },
                "gemv is gemm, but must be one of gemv, gemv_dp4a, cpu_gemv, cpu_gemv_subgroup",
            ),
            (
                Tuning {
                    gemm: Some(Method::CpuGemv),
                    ..GPU
                },
                "gemm is cpu_gemv, but must be one of gemm, gemm_f16, gemm_coop, cpu_gemm, \
                 cpu_gemm_subgroup",
            ),
        ] {
            let error = bad.validate().expect_err("it is refused").to_string();
            assert_eq!(error, format!("the tuning's {wanted}"));
        }
    }
}
