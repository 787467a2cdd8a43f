//! The choice of a matmul method, and how each method divides the work.

use super::{Epilogue, MATMUL};
use crate::capabilities::{Capabilities, MatmulClass, MatmulMethod};
use crate::kernel::Variant;
use crate::weights::{GROUP, TILE, WeightFormat};

/// Rows from which on a GEMV has enough workgroups with more rows in each.
pub(super) const MANY_ROWS: u32 = 16_384;
/// The fewest tokens of a workgroup of `gemm` and `gemm_f16`.
pub(super) const LEAST_TOKEN_TILE: u32 = 16;
/// Rows up to which `gemv_dp4a` shares each row among the most invocations.
const FEW_ROWS: u32 = 4096;

/// Rows of `x` that a workgroup of the methods for few rows multiplies at most.
pub const FEW_X_ROWS: u32 = 8;

impl MatmulMethod {
    /// The method for up to `chunk` tokens.
    pub fn of(caps: &Capabilities, chunk: u32) -> Self {
        Self::of_class(caps, MatmulClass::of(&caps.tuning, chunk))
    }

    /// The method for up to `chunk` tokens, of this class where it is given: then no row's result
    /// depends on the number of rows.
    pub(super) fn of_rows(caps: &Capabilities, class: Option<MatmulClass>, chunk: u32) -> Self {
        match class {
            Some(class) => Self::of_class(caps, class),
            None => Self::of(caps, chunk),
        }
    }

    /// The method of a class: the tuned one if the device runs it, else the
    /// [built-in](Self::built_in) one.
    pub fn of_class(caps: &Capabilities, class: MatmulClass) -> Self {
        let tuned = match class {
            MatmulClass::Gemv => caps.tuning.gemv,
            MatmulClass::FewRows => caps.tuning.few_rows,
            MatmulClass::Gemm => caps.tuning.gemm,
        };
        let tuned = tuned.filter(|method| method.suits(caps, class));
        tuned.unwrap_or_else(|| Self::built_in(caps, class))
    }

    /// The method for devices that were never measured, by measurements on similar ones.
    pub fn built_in(caps: &Capabilities, class: MatmulClass) -> Self {
        match (class, caps.cpu) {
            (MatmulClass::Gemv, false) if caps.packed_dot => Self::GemvDp4a,
            (MatmulClass::Gemv, false) => Self::Gemv,
            (MatmulClass::Gemv, true) if caps.subgroups8_int64 => Self::CpuGemvSubgroup,
            (MatmulClass::Gemv, true) => Self::CpuGemv,
            (MatmulClass::FewRows, false) => Self::FewRows,
            (MatmulClass::FewRows, true) if caps.subgroups8_int64 => Self::CpuFewRowsSubgroup,
            (MatmulClass::FewRows, true) => Self::CpuFewRows,
            (MatmulClass::Gemm, false) if caps.cooperative_matrix => Self::GemmCoop,
            (MatmulClass::Gemm, false) if caps.shader_f16 => Self::GemmF16,
            (MatmulClass::Gemm, false) => Self::Gemm,
            (MatmulClass::Gemm, true) if caps.subgroups8_int64 => Self::CpuGemmSubgroup,
            (MatmulClass::Gemm, true) => Self::CpuGemm,
        }
    }

    /// Whether the method is of this class, and the device can run it.
    pub fn suits(self, caps: &Capabilities, class: MatmulClass) -> bool {
        self.class() == class && self.variant().runs_on(caps)
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
    /// the norm's weights takes it as long as a dispatch. Methods for few rows do as those for one.
    pub(super) fn normalises_x(self) -> bool {
        matches!(
            self,
            Self::Gemv
                | Self::GemvDp4a
                | Self::CpuGemvSubgroup
                | Self::FewRows
                | Self::CpuFewRowsSubgroup
        )
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

    /// How the method divides a matmul with so many rows, for up to `chunk` tokens.
    pub(super) fn shape(self, rows: u32, chunk: u32) -> Shape {
        match self {
            Self::Gemv if rows < MANY_ROWS => GEMV_FEW_ROWS,
            Self::Gemv => GEMV,
            Self::GemvDp4a if rows <= FEW_ROWS => GEMV_DP4A_FEW_ROWS,
            Self::GemvDp4a if rows < MANY_ROWS => GEMV_DP4A_SOME_ROWS,
            Self::GemvDp4a => GEMV_DP4A,
            // The rows of `gemv`, so that sums are added up in the same order; half as many tiles,
            // so that they fit the registers.
            Self::FewRows => Shape {
                method: self,
                tiles: 2,
                tokens: chunk.next_power_of_two().min(FEW_X_ROWS),
                ..Self::Gemv.shape(rows, 1)
            },
            Self::CpuGemv | Self::CpuGemvSubgroup => Shape {
                method: self,
                tiles: 2,
                rows_per_tile: 32,
                tokens: 1,
                row_group: None,
            },
            Self::CpuFewRows => Shape {
                method: self,
                tiles: 2,
                rows_per_tile: 32,
                tokens: FEW_X_ROWS,
                row_group: None,
            },
            Self::CpuFewRowsSubgroup => Shape {
                method: self,
                tiles: 2,
                rows_per_tile: 32,
                tokens: chunk.next_power_of_two().min(FEW_X_ROWS),
                row_group: None,
            },
            Self::CpuGemm | Self::CpuGemmSubgroup => Shape {
                method: self,
                tiles: 2,
                rows_per_tile: 32,
                tokens: 64,
                row_group: None,
            },
            Self::GemmCoop => Shape {
                method: self,
                tiles: 4,
                rows_per_tile: 32,
                tokens: 128,
                row_group: None,
            },
            Self::Gemm | Self::GemmF16 => Shape {
                method: self,
                tiles: 4,
                rows_per_tile: 32,
                tokens: chunk
                    .next_power_of_two()
                    .clamp(LEAST_TOKEN_TILE, self.most_tokens()),
                row_group: None,
            },
        }
    }

    /// The most tokens of a workgroup of `gemm` and `gemm_f16`.
    fn most_tokens(self) -> u32 {
        if self == Self::GemmF16 { 64 } else { 128 }
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
    /// How a method for one row of `x` or a few shares rows among invocations of a GPU.
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
        match self.method {
            MatmulMethod::FewRows | MatmulMethod::CpuFewRowsSubgroup => {
                overrides.push(("X_ROWS", self.tokens));
            }
            method @ (MatmulMethod::Gemm | MatmulMethod::GemmF16)
                if self.tokens < method.most_tokens() =>
            {
                overrides.push(("TOKEN_TILE", self.tokens));
            }
            _ => {}
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
