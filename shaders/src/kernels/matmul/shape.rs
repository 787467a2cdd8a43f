//! Which variant computes a product, and how it shares the work out.

use crate::capabilities::Capabilities;
use crate::kernel::Variant;
use crate::weights::{GROUP, TILE, WeightFormat};

use super::{Epilogue, MATMUL};

/// A way to compute products. Some are for one token, the others for many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// One token: lanes share rows out.
    Gemv,
    /// One token: the same by dot products of bytes, for formats that have such.
    GemvDp4a,
    /// One token: eight rows for each lane.
    CpuGemv,
    /// One token: the same, inputs told by broadcast.
    CpuGemvSubgroup,
    /// Many tokens: tiles in workgroup memory.
    Gemm,
    /// Many tokens: tiles in workgroup memory, arithmetic in halves.
    GemmF16,
    /// Many tokens: matrix units.
    GemmCoop,
    /// Many tokens: eight rows for each lane, one token after the other.
    CpuGemm,
    /// Many tokens: the same, inputs told by broadcast.
    CpuGemmSubgroup,
}

/// How a variant shares the work out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub variant: usize,
    /// Tiles that a workgroup has rows of.
    pub tiles: u32,
    /// Rows of each tile in a workgroup.
    pub lanes: u32,
    /// Tokens of a workgroup.
    pub tokens: u32,
    pub overrides: &'static [(&'static str, u32)],
}

pub(super) const GEMV: Shape = Shape {
    variant: 0,
    tiles: 4,
    lanes: 8,
    tokens: 1,
    overrides: &[("LANES", 8), ("SPLITS", 32)],
};
/// The same for fewer rows than fill a GPU.
pub(super) const GEMV_NARROW: Shape = Shape {
    lanes: 4,
    overrides: &[("LANES", 4), ("SPLITS", 64)],
    ..GEMV
};
/// Rows from which on there are enough workgroups with more of them each.
const MANY_ROWS: u32 = 16_384;
/// Teams of 8 rows of two tiles, 4 invocations each: where there are rows enough, each has a stream
/// of its own.
pub(super) const GEMV_DP4A: Shape = Shape {
    variant: 7,
    tiles: 4,
    lanes: 32,
    tokens: 1,
    overrides: &[("LANES", 8), ("SPLITS", 4)],
};
/// Of fewer rows more invocations share each.
pub(super) const GEMV_DP4A_SHARED: Shape = Shape {
    tiles: 2,
    lanes: 16,
    overrides: &[("LANES", 16), ("SPLITS", 16)],
    ..GEMV_DP4A
};
pub(super) const GEMV_DP4A_NARROW: Shape = Shape {
    tiles: 2,
    lanes: 8,
    overrides: &[("LANES", 8), ("SPLITS", 32)],
    ..GEMV_DP4A
};
/// Rows up to which they are shared by so many.
const NARROW_ROWS: u32 = 4096;
pub(super) const CPU_GEMV: Shape = Shape {
    variant: 1,
    tiles: 2,
    lanes: 32,
    tokens: 1,
    overrides: &[],
};
pub(super) const CPU_GEMM: Shape = Shape {
    variant: 2,
    tiles: 2,
    lanes: 32,
    tokens: 64,
    overrides: &[],
};
pub(super) const GEMM: Shape = Shape {
    variant: 3,
    tiles: 4,
    lanes: 32,
    tokens: 128,
    overrides: &[],
};
pub(super) const GEMM_COOP: Shape = Shape {
    variant: 4,
    tiles: 4,
    lanes: 32,
    tokens: 128,
    overrides: &[],
};
pub(super) const CPU_GEMV_SUBGROUP: Shape = Shape {
    variant: 5,
    ..CPU_GEMV
};
pub(super) const CPU_GEMM_SUBGROUP: Shape = Shape {
    variant: 6,
    ..CPU_GEMM
};
pub(super) const GEMM_F16: Shape = Shape {
    variant: 8,
    tokens: 64,
    ..GEMM
};

impl Method {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Gemv,
        Self::GemvDp4a,
        Self::CpuGemv,
        Self::CpuGemvSubgroup,
        Self::Gemm,
        Self::GemmF16,
        Self::GemmCoop,
        Self::CpuGemm,
        Self::CpuGemmSubgroup,
    ];

    /// For products of up to `chunk` tokens: what the device is tuned to, where it runs, else what
    /// suits such devices.
    pub fn of(caps: &Capabilities, chunk: u32) -> Self {
        let tuned = if chunk == 1 {
            caps.tuning.gemv
        } else {
            caps.tuning.gemm
        };
        tuned
            .filter(|method| method.suits(caps, chunk))
            .unwrap_or_else(|| Self::built_in(caps, chunk))
    }

    /// What suits such devices, as measured on some.
    pub fn built_in(caps: &Capabilities, chunk: u32) -> Self {
        match (chunk, caps.cpu) {
            (1, false) if caps.packed_dot => Self::GemvDp4a,
            (1, false) => Self::Gemv,
            (1, true) if caps.subgroups8_int64 => Self::CpuGemvSubgroup,
            (1, true) => Self::CpuGemv,
            (_, false) if caps.cooperative_matrix => Self::GemmCoop,
            (_, false) if caps.shader_f16 => Self::GemmF16,
            (_, false) => Self::Gemm,
            (_, true) if caps.subgroups8_int64 => Self::CpuGemmSubgroup,
            (_, true) => Self::CpuGemm,
        }
    }

    /// Whether it is for so many tokens, and the device can run it.
    pub fn suits(self, caps: &Capabilities, chunk: u32) -> bool {
        self.is_for(chunk) && MATMUL.variants[self.shape(0).variant].runs_on(caps)
    }

    /// Whether it is for so many tokens.
    pub fn is_for(self, chunk: u32) -> bool {
        let one = matches!(
            self,
            Self::Gemv | Self::GemvDp4a | Self::CpuGemv | Self::CpuGemvSubgroup
        );
        one == (chunk == 1)
    }

    /// Whether a variant is for one token.
    pub(super) fn is_for_one(variant: &Variant) -> bool {
        Self::ALL
            .into_iter()
            .any(|method| method.is_for(1) && method.name() == variant.name)
    }

    /// Whether it can normalise x as it goes. The others have norms as steps of their own: many
    /// tokens would be normalised again for each tile of rows, and in `rows` loading a norm's
    /// weights takes as long as a launch.
    pub(super) fn normalises(self) -> bool {
        matches!(self, Self::Gemv | Self::GemvDp4a | Self::CpuGemvSubgroup)
    }

    /// The one for weights of this format.
    pub(super) fn of_format(self, format: WeightFormat) -> Self {
        if MATMUL.variants[self.shape(0).variant].takes(Some(format)) {
            self
        } else {
            Self::Gemv
        }
    }

    /// The variant's name.
    pub fn name(self) -> &'static str {
        MATMUL.variants[self.shape(0).variant].name
    }

    /// The shape for this many rows.
    pub(super) fn shape(self, rows: u32) -> Shape {
        match self {
            Self::Gemv if rows < MANY_ROWS => GEMV_NARROW,
            Self::Gemv => GEMV,
            Self::GemvDp4a if rows <= NARROW_ROWS => GEMV_DP4A_NARROW,
            Self::GemvDp4a if rows < MANY_ROWS => GEMV_DP4A_SHARED,
            Self::GemvDp4a => GEMV_DP4A,
            Self::CpuGemv => CPU_GEMV,
            Self::CpuGemvSubgroup => CPU_GEMV_SUBGROUP,
            Self::Gemm => GEMM,
            Self::GemmF16 => GEMM_F16,
            Self::GemmCoop => GEMM_COOP,
            Self::CpuGemm => CPU_GEMM,
            Self::CpuGemmSubgroup => CPU_GEMM_SUBGROUP,
        }
    }
}

impl Shape {
    /// The overrides of a product with a shard, of which this becomes.
    pub fn overrides(
        self,
        epilogue: Epilogue,
        normed: bool,
        format: WeightFormat,
        rows: u32,
        width: u32,
        across: u32,
    ) -> Vec<(&'static str, u32)> {
        let mut overrides = self.overrides.to_vec();
        // CPUs compile for longer than they branch: one pipeline has to do for all uses.
        if !MATMUL.variants[self.variant].is_for_cpus() {
            overrides.push(("EPILOGUE", epilogue as u32));
            if normed {
                overrides.push(("NORMED", 1));
            }
        }
        if [GEMV.variant, GEMV_DP4A.variant].contains(&self.variant) {
            let row_words = format.row_words(width as usize) as u32;
            let groups = width / GROUP as u32;
            overrides.extend([
                ("GROUPS", groups),
                ("ROWS", rows),
                ("ROW_WORDS", row_words),
                ("ACROSS", across),
            ]);
        }
        overrides
    }

    /// Workgroups for this many rows and tokens; the first dimension holds `most` at most.
    pub fn workgroups(self, rows: u32, tokens: u32, most: u32) -> [u32; 3] {
        let units = rows.div_ceil(self.tiles * TILE as u32) * (TILE as u32 / self.lanes);
        let across = units.min(most);
        [across, units.div_ceil(across), tokens.div_ceil(self.tokens)]
    }
}
