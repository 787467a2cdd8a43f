//! The choice of a matmul method, and how each method divides the work.

use super::{Epilogue, MATMUL};
use crate::capabilities::{Capabilities, MatmulMethod};
use crate::kernel::Variant;
use crate::weights::{GROUP, TILE, WeightFormat};

/// Rows from which on a GEMV has enough workgroups with more rows in each.
const MANY_ROWS: u32 = 16_384;
/// Rows up to which `gemv_dp4a` shares each row among the most invocations.
const FEW_ROWS: u32 = 4096;

impl MatmulMethod {
    /// The method for up to `chunk` tokens: the tuned one if the device runs it, else the
    /// [built-in](Self::built_in) one.
    pub fn of(caps: &Capabilities, chunk: u32) -> Self {
        let tuned = if chunk == 1 {
            caps.tuning.gemv
        } else {
            caps.tuning.gemm
        };
        let tuned = tuned.filter(|method| method.suits(caps, chunk));
        tuned.unwrap_or_else(|| Self::built_in(caps, chunk))
    }

    /// The method for devices that were never measured, by measurements on similar ones.
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

    /// Whether the method is for up to `chunk` tokens, and the device can run it.
    pub fn suits(self, caps: &Capabilities, chunk: u32) -> bool {
        self.is_for(chunk) && self.variant().runs_on(caps)
    }

    /// The method's variant of [`MATMUL`].
    pub(super) fn variant(self) -> &'static Variant {
        &MATMUL.variants[self as usize]
    }

    /// The method of a variant of [`MATMUL`].
    pub(super) fn of_variant(variant: &Variant) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|method| method.name() == variant.name)
    }

    /// Whether the method can normalise `x` on the way.
    ///
    /// GEMMs don't: each tile of rows would normalise all tokens again. `cpu_gemv` doesn't: loading
    /// the norm's weights takes it as long as a dispatch.
    pub(super) fn normalises_x(self) -> bool {
        matches!(self, Self::Gemv | Self::GemvDp4a | Self::CpuGemvSubgroup)
    }

    /// This method, or [`MatmulMethod::Gemv`] where it does not support the weight format.
    pub(super) fn for_format(self, format: WeightFormat) -> Self {
        if self.variant().takes(Some(format)) {
            self
        } else {
            Self::Gemv
        }
    }

    /// Rows of `x` that the method loads at once. It loads whole groups of rows, and does not use
    /// those beyond the last token: see `last_row_group` in the WGSL.
    pub(super) fn x_rows_at_once(self) -> u32 {
        match self {
            Self::GemmCoop => super::X_ROW_GROUP,
            Self::Gemm | Self::GemmF16 => 4,
            _ => 1,
        }
    }

    /// How the method divides a matmul with so many rows.
    pub(super) fn shape(self, rows: u32) -> Shape {
        match self {
            Self::Gemv if rows < MANY_ROWS => GEMV_FEW_ROWS,
            Self::Gemv => GEMV,
            Self::GemvDp4a if rows <= FEW_ROWS => GEMV_DP4A_FEW_ROWS,
            Self::GemvDp4a if rows < MANY_ROWS => GEMV_DP4A_SOME_ROWS,
            Self::GemvDp4a => GEMV_DP4A,
            Self::CpuGemv | Self::CpuGemvSubgroup => Shape {
                method: self,
                tiles: 2,
                rows_per_tile: 32,
                tokens: 1,
                row_group: None,
            },
            Self::CpuGemm | Self::CpuGemmSubgroup => Shape {
                method: self,
                tiles: 2,
                rows_per_tile: 32,
                tokens: 64,
                row_group: None,
            },
            Self::Gemm | Self::GemmCoop => Shape {
                method: self,
                tiles: 4,
                rows_per_tile: 32,
                tokens: 128,
                row_group: None,
            },
            Self::GemmF16 => Shape {
                method: self,
                tiles: 4,
                rows_per_tile: 32,
                tokens: 64,
                row_group: None,
            },
        }
    }
}

/// The part of a matmul that one workgroup computes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub method: MatmulMethod,
    /// Tiles of [`TILE`] rows that the workgroup takes rows of.
    pub tiles: u32,
    /// Rows of each of these tiles.
    pub rows_per_tile: u32,
    /// Tokens.
    pub tokens: u32,
    /// How a GEMV for GPUs shares rows among invocations.
    pub row_group: Option<RowGroup>,
}

/// Invocations of a workgroup that compute the same rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowGroup {
    /// Rows of each tile.
    pub rows_per_tile: u32,
    /// Invocations that share a row: each takes every `k_splits`-th group of its columns.
    pub k_splits: u32,
}

pub(super) const GEMV: Shape = Shape {
    method: MatmulMethod::Gemv,
    tiles: 4,
    rows_per_tile: 8,
    tokens: 1,
    row_group: Some(RowGroup {
        rows_per_tile: 8,
        k_splits: 32,
    }),
};

/// Fewer rows in a workgroup, so that there are more workgroups.
pub(super) const GEMV_FEW_ROWS: Shape = Shape {
    rows_per_tile: 4,
    row_group: Some(RowGroup {
        rows_per_tile: 4,
        k_splits: 64,
    }),
    ..GEMV
};

/// Eight row groups of 32 invocations. With this many rows, each reads a stream of its own.
pub(super) const GEMV_DP4A: Shape = Shape {
    method: MatmulMethod::GemvDp4a,
    tiles: 4,
    rows_per_tile: 32,
    tokens: 1,
    row_group: Some(RowGroup {
        rows_per_tile: 8,
        k_splits: 4,
    }),
};

/// More invocations for each row.
pub(super) const GEMV_DP4A_SOME_ROWS: Shape = Shape {
    tiles: 2,
    rows_per_tile: 16,
    row_group: Some(RowGroup {
        rows_per_tile: 16,
        k_splits: 16,
    }),
    ..GEMV_DP4A
};

/// The most invocations for each row.
pub(super) const GEMV_DP4A_FEW_ROWS: Shape = Shape {
    tiles: 2,
    rows_per_tile: 8,
    row_group: Some(RowGroup {
        rows_per_tile: 8,
        k_splits: 32,
    }),
    ..GEMV_DP4A
};

/// What the constants of a pipeline depend on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Use {
    pub epilogue: Epilogue,
    pub is_normed: bool,
    pub format: WeightFormat,
    /// Rows of the shard.
    pub rows: u32,
    pub width: u32,
    /// Workgroups in the first dimension of the dispatch.
    pub workgroups_x: u32,
}

impl Shape {
    /// The `override` constants of the pipeline for this use.
    pub fn overrides(self, of: Use) -> Vec<(&'static str, u32)> {
        let mut overrides = Vec::new();
        if let Some(RowGroup {
            rows_per_tile,
            k_splits,
        }) = self.row_group
        {
            overrides.extend([("ROWS_PER_TILE", rows_per_tile), ("K_SPLITS", k_splits)]);
        }
        // CPUs compile for longer than they branch: one pipeline serves all uses.
        if !self.method.variant().is_for_cpus() {
            overrides.push(("EPILOGUE", of.epilogue as u32));
            if of.is_normed {
                overrides.push(("IS_NORMED", 1));
            }
        }
        if self.row_group.is_some() {
            overrides.extend([
                ("GROUPS_PER_ROW", of.width / GROUP as u32),
                ("ROWS", of.rows),
                ("ROW_WORDS", of.format.row_words(of.width as usize) as u32),
                ("WORKGROUPS_X", of.workgroups_x),
            ]);
        }
        overrides
    }

    /// Workgroups for this many rows and tokens; at most `most` in the first dimension.
    pub fn workgroups(self, rows: u32, tokens: u32, most: u32) -> [u32; 3] {
        let workgroups_per_tile = TILE as u32 / self.rows_per_tile;
        let all = rows.div_ceil(self.tiles * TILE as u32) * workgroups_per_tile;
        let x = all.min(most);
        [x, all.div_ceil(x), tokens.div_ceil(self.tokens)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_are_in_the_order_of_methods() {
        assert_eq!(MATMUL.variants.len(), MatmulMethod::ALL.len());
        for (index, method) in MatmulMethod::ALL.into_iter().enumerate() {
            assert_eq!(method as usize, index);
            assert_eq!(method.variant().name, method.name());
            assert_eq!(MatmulMethod::of_variant(method.variant()), Some(method));
        }
    }
}
