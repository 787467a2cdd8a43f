//! The variants of attention, and which of them a pass or a batch uses.

use crate::capabilities::Capabilities;
use crate::kernel::Variant;

/// The kind of work that a batch's rows are, which decides attention's variant. The number of rows
/// does not, so that a row's result never depends on its neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RowClass {
    /// Few tokens in a work item, such as one token of each sequence.
    Decode,
    /// Many tokens in a work item: chunks of prompts.
    Prompt,
}

/// A variant of [`ATTENTION`](super::ATTENTION), by algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttentionVariant {
    /// `cpu/`, few rows: the invocations of a workgroup share rows and divide slots.
    CpuFewRows,
    /// `cpu/`, up to eight rows: each invocation has a row of its own, with loads broadcast within
    /// subgroups of eight. A row's result is that of [`Self::CpuSubgroup`] to the bit.
    CpuFewRowsSubgroup,
    /// `cpu/`, many rows: each invocation has rows of its own.
    Cpu,
    /// The same, with loads broadcast within subgroups of eight.
    CpuSubgroup,
    /// `prefill/`: many tokens on GPUs.
    Prefill,
    /// `decode/`: one token on GPUs.
    Decode,
    /// The same, with subgroups of 32 and prefetched loads.
    DecodeSubgroup32,
    /// `prefill_coop/`: many tokens on GPUs with cooperative matrices.
    PrefillCoop,
}

impl AttentionVariant {
    /// All variants, in the order of the kernel's.
    pub const ALL: [Self; 8] = [
        Self::CpuFewRows,
        Self::CpuFewRowsSubgroup,
        Self::Cpu,
        Self::CpuSubgroup,
        Self::Prefill,
        Self::Decode,
        Self::DecodeSubgroup32,
        Self::PrefillCoop,
    ];

    /// Its name in plans and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CpuFewRows => "cpu_few_rows",
            Self::CpuFewRowsSubgroup => "cpu_few_rows_subgroup",
            Self::Cpu => "cpu",
            Self::CpuSubgroup => "cpu_subgroup",
            Self::Prefill => "prefill",
            Self::Decode => "decode",
            Self::DecodeSubgroup32 => "decode_subgroup32",
            Self::PrefillCoop => "prefill_coop",
        }
    }

    /// Rows that a workgroup computes: `ROWS_PER_WORKGROUP` of the WGSL.
    pub const fn rows_per_workgroup(self) -> u32 {
        match self {
            Self::CpuFewRows | Self::Decode | Self::DecodeSubgroup32 => 4,
            Self::CpuFewRowsSubgroup => 8,
            Self::Prefill => 16,
            Self::Cpu | Self::CpuSubgroup => 32,
            Self::PrefillCoop => 128,
        }
    }

    /// The most rows of a KV head for which CPUs use [`Self::CpuFewRows`].
    pub(super) const MAX_FEW_ROWS: u32 = 8;

    /// The variant for a pass of `chunk` tokens with `rows` rows for each KV head.
    pub fn for_pass(caps: &Capabilities, rows: u32, chunk: u32) -> Self {
        match (caps.cpu, chunk) {
            (true, _) if caps.subgroups8_int64 => Self::cpu_subgroup(rows),
            (true, _) if rows <= Self::MAX_FEW_ROWS => Self::CpuFewRows,
            (true, _) => Self::Cpu,
            (false, 1) if caps.subgroups32 => Self::DecodeSubgroup32,
            (false, 1) => Self::Decode,
            (false, _) if caps.cooperative_matrix && caps.subgroups32 => Self::PrefillCoop,
            (false, _) => Self::Prefill,
        }
    }

    /// The variant for CPUs with subgroups. Both give a row the same bits.
    fn cpu_subgroup(rows: u32) -> Self {
        match rows {
            ..=Self::MAX_FEW_ROWS => Self::CpuFewRowsSubgroup,
            _ => Self::CpuSubgroup,
        }
    }

    /// The variant for a batch's work items, of so many rows for each KV head.
    pub fn for_class(caps: &Capabilities, class: RowClass, rows: u32) -> Self {
        match (class, caps.cpu) {
            (_, true) if caps.subgroups8_int64 => Self::cpu_subgroup(rows),
            (RowClass::Decode, true) => Self::CpuFewRows,
            (RowClass::Decode, false) if caps.subgroups32 => Self::DecodeSubgroup32,
            (RowClass::Decode, false) => Self::Decode,
            (RowClass::Prompt, true) => Self::Cpu,
            (RowClass::Prompt, false) if caps.cooperative_matrix && caps.subgroups32 => {
                Self::PrefillCoop
            }
            (RowClass::Prompt, false) => Self::Prefill,
        }
    }

    /// The kernel's variant: what it defines and requires.
    pub(super) const fn declaration(self) -> Variant {
        let [defines, _] = self.defines();
        self.declare(defines)
    }

    /// The same for a batch over a paged cache.
    pub(super) const fn paged_declaration(self) -> Variant {
        let [_, defines] = self.defines();
        self.declare(defines)
    }

    /// The names that a variant defines, then those that it defines over a paged cache.
    const fn defines(self) -> [&'static [&'static str]; 2] {
        match self {
            Self::CpuFewRows => [
                &["CPU", "CPU_ALGORITHM", "FEW_ROWS"],
                &["PAGED", "CPU", "CPU_ALGORITHM", "FEW_ROWS"],
            ],
            Self::CpuFewRowsSubgroup => [
                &["CPU", "CPU_ALGORITHM", "SUBGROUP_BROADCAST", "ONE_ROW"],
                &[
                    "PAGED",
                    "CPU",
                    "CPU_ALGORITHM",
                    "SUBGROUP_BROADCAST",
                    "ONE_ROW",
                ],
            ],
            Self::Cpu => [
                &["CPU", "CPU_ALGORITHM"],
                &["PAGED", "CPU", "CPU_ALGORITHM"],
            ],
            Self::CpuSubgroup => [
                &["CPU", "CPU_ALGORITHM", "SUBGROUP_BROADCAST"],
                &["PAGED", "CPU", "CPU_ALGORITHM", "SUBGROUP_BROADCAST"],
            ],
            Self::Prefill => [&["PREFILL"], &["PAGED", "PREFILL"]],
            Self::Decode => [&["DECODE"], &["PAGED", "DECODE"]],
            Self::DecodeSubgroup32 => [
                &["DECODE", "SUBGROUPS", "PREFETCH"],
                &["PAGED", "DECODE", "SUBGROUPS", "PREFETCH"],
            ],
            Self::PrefillCoop => [&["PREFILL_COOP"], &["PAGED", "PREFILL_COOP"]],
        }
    }

    const fn declare(self, defines: &'static [&'static str]) -> Variant {
        let name = self.name();
        match self {
            Self::CpuFewRows | Self::Cpu | Self::Prefill | Self::Decode => {
                Variant::base(name, defines)
            }
            Self::CpuFewRowsSubgroup | Self::CpuSubgroup => {
                Variant::subgroups8_int64(name, defines)
            }
            Self::DecodeSubgroup32 => Variant::subgroups32(name, defines),
            Self::PrefillCoop => Variant::cooperative_matrix32(name, defines),
        }
    }

    /// The variant that the kernel has declared.
    pub(super) fn declared(self) -> &'static Variant {
        &super::ATTENTION.variants[self as usize]
    }
}

/// Names the variants that decode and prefill use on a device, for reports.
pub fn variants(caps: &Capabilities) -> String {
    let name = |rows| AttentionVariant::for_pass(caps, rows, rows).name();
    let many = AttentionVariant::MAX_FEW_ROWS + 1;
    format!("decode: {}; prefill: {}", name(1), name(many))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::attention::ATTENTION;
    use crate::kernels::attention::paged::ATTENTION_PAGED;

    #[test]
    fn the_kernel_declares_all_variants_in_order() {
        assert_eq!(ATTENTION.variants.len(), AttentionVariant::ALL.len());
        for (i, variant) in AttentionVariant::ALL.into_iter().enumerate() {
            assert_eq!(variant as usize, i, "{variant:?}");
            assert_eq!(variant.declared().name, variant.name());
            assert_eq!(ATTENTION_PAGED.variants[i].name, variant.name());
        }
    }
}
