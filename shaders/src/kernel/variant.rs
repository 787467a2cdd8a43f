//! Variants: specialisations of a kernel for an algorithm and a device's capabilities.

use crate::capabilities::Capabilities;
use crate::weights::WeightFormat;

/// One specialisation of a kernel's WGSL.
#[derive(Debug)]
pub struct Variant {
    /// The variant's name in plans and reports.
    pub name: &'static str,
    /// The names that `#ifdef` finds defined.
    pub defines: &'static [&'static str],
    /// Whether it needs subgroup operations.
    pub subgroups: bool,
    /// Whether it needs subgroups of 32: [`Capabilities::subgroups32`].
    pub subgroups32: bool,
    /// Whether it needs f16 arithmetic: [`Capabilities::shader_f16`].
    pub shader_f16: bool,
    /// Whether it needs cooperative matrices: [`Capabilities::cooperative_matrix`].
    pub cooperative_matrix: bool,
    /// Whether it needs subgroups of eight and 64-bit integers: [`Capabilities::subgroups8_int64`].
    pub subgroups8_int64: bool,
    /// Whether it needs weights that are integer codes: [`WeightFormat::has_codes`].
    pub codes: bool,
}

impl Variant {
    /// A variant that needs nothing beyond the WebGPU defaults.
    pub const fn base(name: &'static str, defines: &'static [&'static str]) -> Self {
        Self {
            name,
            defines,
            subgroups: false,
            subgroups32: false,
            shader_f16: false,
            cooperative_matrix: false,
            subgroups8_int64: false,
            codes: false,
        }
    }

    /// A variant that uses subgroup operations.
    pub const fn subgroups(name: &'static str, defines: &'static [&'static str]) -> Self {
        Self {
            subgroups: true,
            ..Self::base(name, defines)
        }
    }

    /// A variant for subgroups of 32.
    pub const fn subgroups32(name: &'static str, defines: &'static [&'static str]) -> Self {
        Self {
            subgroups32: true,
            ..Self::subgroups(name, defines)
        }
    }

    /// A variant that computes in f16.
    pub const fn shader_f16(name: &'static str, defines: &'static [&'static str]) -> Self {
        Self {
            shader_f16: true,
            ..Self::base(name, defines)
        }
    }

    /// A variant that uses cooperative matrices of f16.
    pub const fn cooperative_matrix(name: &'static str, defines: &'static [&'static str]) -> Self {
        Self {
            cooperative_matrix: true,
            ..Self::shader_f16(name, defines)
        }
    }

    /// A variant that uses cooperative matrices and subgroup operations.
    pub const fn cooperative_matrix32(
        name: &'static str,
        defines: &'static [&'static str],
    ) -> Self {
        Self {
            subgroups: true,
            subgroups32: true,
            ..Self::cooperative_matrix(name, defines)
        }
    }

    /// A variant that loads 64 bits at a time and broadcasts them in subgroups of eight or more.
    pub const fn subgroups8_int64(name: &'static str, defines: &'static [&'static str]) -> Self {
        Self {
            subgroups8_int64: true,
            ..Self::base(name, defines)
        }
    }

    /// A variant that multiplies the integer codes of weights.
    pub const fn codes(name: &'static str, defines: &'static [&'static str]) -> Self {
        Self {
            codes: true,
            ..Self::base(name, defines)
        }
    }

    /// Whether the variant is made for CPUs. GPUs never run it.
    pub fn is_for_cpus(&self) -> bool {
        self.defines.contains(&"CPU")
    }

    /// Whether the variant supports weights of this format.
    pub fn takes(&self, format: Option<WeightFormat>) -> bool {
        !self.codes || format.is_some_and(WeightFormat::has_codes)
    }

    /// Whether a device with `caps` can run the variant.
    pub fn runs_on(&self, caps: &Capabilities) -> bool {
        (!self.subgroups || caps.subgroups)
            && (!self.subgroups32 || caps.subgroups32)
            && (!self.shader_f16 || caps.shader_f16)
            && (!self.cooperative_matrix || caps.cooperative_matrix)
            && (!self.subgroups8_int64 || caps.subgroups8_int64)
    }
}
