//! Matmul with stored weights: every projection of the model, for one token or many.

#[cfg(feature = "testing")]
mod cases;
mod cut;
mod method;
#[cfg(feature = "testing")]
mod reference;
#[cfg(test)]
mod tests;

use crate::buffers::BufferRef;
use crate::capabilities::{Capabilities, MatmulMethod};
use crate::kernel::params;
use crate::kernel::{Cost, Dispatch, Kernel, Step, Variant, read, write};
use crate::kernels::rms_norm::{Norm, RmsNorm, Rows};
use crate::plan::Plan;
use crate::weights::{GROUP, Matrix, TILE};
use method::Use;

#[cfg(feature = "testing")]
pub use cases::{RowByRow, row_by_row};
pub use cut::cut_matmuls;
pub use method::FEW_X_ROWS;

pub use crate::capabilities::MatmulClass;

params! {
    /// Groups of 32 weights in a row.
    groups_per_row: u32,
    /// Rows in the shard.
    rows: u32,
    /// Row of `out` that the shard begins with.
    first_row: u32,
    /// Floats from one token's `out` to the next's.
    out_width: u32,
    /// Row of `x` of the first token.
    x_first: u32,
    /// Number of tokens; 0: the step's.
    tokens: u32,
    /// [`Epilogue`] as a number.
    epilogue: u32,
    /// Workgroups in the first dispatch dimension.
    workgroups_x: u32,
    /// Words in a packed row.
    row_words: u32,
    /// 1: the kernel normalises `x`.
    is_normed: u32,
    /// Added to the mean square in the norm.
    eps: f32,
}

/// The kernel.
pub static MATMUL: Kernel = Kernel {
    name: "matmul",
    summary: "out (+)= W x for stored weights W",
    wgsl: include_str!("matmul.wgsl"),
    weights: true,
    params: Params::FIELDS,
    params_bytes: size_of::<Params>(),
    bindings: &[
        read("weights"),
        read("weights_vec4"),
        read("x"),
        read("norm"),
        write("out"),
    ],
    overrides: &[
        "ROWS_PER_TILE",
        "K_SPLITS",
        "EPILOGUE",
        "IS_NORMED",
        "GROUPS_PER_ROW",
        "ROWS",
        "ROW_WORDS",
        "WORKGROUPS_X",
        "X_ROWS",
        "TOKEN_TILE",
    ],
    // In the order of MatmulMethod.
    variants: &[
        Variant::base(MatmulMethod::Gemv.name(), &["GEMV"]),
        Variant::codes(MatmulMethod::GemvDp4a.name(), &["GEMV_DP4A"]),
        Variant::base(MatmulMethod::CpuGemv.name(), &["CPU", "CPU_GEMV"]),
        Variant::subgroups8_int64(
            MatmulMethod::CpuGemvSubgroup.name(),
            &["CPU", "CPU_GEMV_SUBGROUP", "SUBGROUP_BROADCAST", "INT64"],
        ),
        Variant::base(MatmulMethod::FewRows.name(), &["FEW_ROWS"]),
        Variant::base(MatmulMethod::CpuFewRows.name(), &["CPU", "CPU_FEW_ROWS"]),
        Variant::subgroups8_int64(
            MatmulMethod::CpuFewRowsSubgroup.name(),
            &[
                "CPU",
                "CPU_FEW_ROWS_SUBGROUP",
                "SUBGROUP_BROADCAST",
                "INT64",
            ],
        ),
        Variant::base(MatmulMethod::Gemm.name(), &["GEMM"]),
        Variant::shader_f16(MatmulMethod::GemmF16.name(), &["GEMM", "F16"]),
        Variant::cooperative_matrix(MatmulMethod::GemmCoop.name(), &["GEMM_COOP", "F16"]),
        Variant::base(MatmulMethod::CpuGemm.name(), &["CPU", "CPU_GEMM"]),
        Variant::subgroups8_int64(
            MatmulMethod::CpuGemmSubgroup.name(),
            &["CPU", "CPU_GEMM", "SUBGROUP_BROADCAST", "INT64"],
        ),
    ],
    cost,
    extents,
    #[cfg(feature = "testing")]
    reference: reference::matmul,
    #[cfg(feature = "testing")]
    cases: cases::cases,
};

/// The most rows of `x` that a GEMM loads at once.
///
/// GEMMs load whole groups of rows, counted from the first token's. `x` must have them, but the
/// contents of rows beyond the last token do not matter.
pub const X_ROW_GROUP: u32 = 16;

/// The rows of `x` that a matmul multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tokens {
    /// All tokens of the step.
    Step {
        /// The most tokens that the plan is replayed with.
        chunk: u32,
    },
    /// `count` rows from `first` on. A single row must be the first of `x`.
    Rows {
        /// The first row of `x`.
        first: u32,
        /// Number of rows.
        count: u32,
    },
}

/// How a matmul stores its product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Epilogue {
    /// `out = product`.
    Store,
    /// `out += product`.
    Accumulate,
    /// `out = silu(gate) * up`, half as long as the product: tiles of [`TILE`] rows alternate
    /// between gate and up.
    SwiGlu,
    /// `out = silu(out) * product`.
    SwiGluInPlace,
}

impl Epilogue {
    /// Rows of the product for each row of `out`.
    const fn rows_per_output(self) -> u32 {
        match self {
            Self::SwiGlu => 2,
            Self::Store | Self::Accumulate | Self::SwiGluInPlace => 1,
        }
    }
}

/// `out = W x`, or as the epilogue says.
#[derive(Clone, Copy, Debug)]
pub struct Matmul<'a> {
    /// `W`.
    pub weights: &'a Matrix,
    /// `[tokens, W.width]`, with whole groups of [`X_ROW_GROUP`] rows.
    pub x: BufferRef,
    /// `[tokens, W.rows]`, or half as wide for [`Epilogue::SwiGlu`].
    pub out: BufferRef,
    /// The rows of `x`.
    pub tokens: Tokens,
    /// The class of methods that computes it.
    pub class: Option<MatmulClass>,
    /// How the product is stored.
    pub epilogue: Epilogue,
}

impl Matmul<'_> {
    /// Appends the dispatches to the plan, one for each shard.
    pub fn record(&self, plan: &mut Plan, caps: &Capabilities) {
        record(plan, caps, self, None);
    }
}

/// `out = W norm(x)`, or as the epilogue says, for all tokens of the step.
#[derive(Clone, Copy, Debug)]
pub struct NormedMatmul<'a> {
    /// `W`.
    pub weights: &'a Matrix,
    /// The norm of `x`.
    pub norm: &'a Norm,
    /// `[tokens, W.width]`.
    pub x: BufferRef,
    /// Scratch for `norm(x)` where the norm takes a dispatch of its own: `[tokens, W.width]`, with
    /// whole groups of [`X_ROW_GROUP`] rows.
    pub normed: BufferRef,
    /// `[tokens, W.rows]`, or half as wide for [`Epilogue::SwiGlu`].
    pub out: BufferRef,
    /// The most tokens that the plan is replayed with.
    pub chunk: u32,
    /// The class of methods that computes it.
    pub class: Option<MatmulClass>,
    /// How the product is stored.
    pub epilogue: Epilogue,
}

impl NormedMatmul<'_> {
    /// Appends the dispatches to the plan.
    pub fn record(&self, plan: &mut Plan, caps: &Capabilities) {
        let Self {
            weights,
            norm,
            x,
            normed,
            out,
            chunk,
            class,
            epilogue,
        } = *self;
        let matmul = Matmul {
            weights,
            x,
            out,
            tokens: Tokens::Step { chunk },
            class,
            epilogue,
        };
        if MatmulMethod::of_rows(caps, class, chunk).normalises_x() {
            return record(plan, caps, &matmul, Some(norm));
        }
        RmsNorm {
            norm,
            x,
            out: normed,
            rows: Rows::All { chunk },
        }
        .record(plan, caps);
        Matmul {
            x: normed,
            ..matmul
        }
        .record(plan, caps);
    }
}

fn record(plan: &mut Plan, caps: &Capabilities, matmul: &Matmul<'_>, norm: Option<&Norm>) {
    let Matmul {
        weights,
        x,
        out,
        tokens,
        class,
        epilogue,
    } = *matmul;
    let (x_first, count, chunk) = match tokens {
        Tokens::Step { chunk } => (0, 0, chunk),
        Tokens::Rows { first, count } => (first, count, count),
    };
    let rows_per_output = epilogue.rows_per_output();
    let method = MatmulMethod::of_rows(caps, class, chunk);
    debug_assert!(
        method.class() != MatmulClass::Gemv || x_first == 0,
        "a GEMV multiplies the first row of x"
    );
    for shard in &weights.shards {
        let shape = method.for_format(shard.format).shape(shard.rows, chunk);
        let workgroups = shape.workgroups(shard.rows, chunk, caps.max_workgroups);
        let params = Params {
            groups_per_row: weights.groups_per_row(),
            rows: shard.rows,
            first_row: shard.first / rows_per_output,
            out_width: weights.rows / rows_per_output,
            x_first,
            tokens: count,
            epilogue: epilogue as u32,
            workgroups_x: workgroups[0],
            row_words: shard.format.row_words(weights.width as usize) as u32,
            is_normed: norm.is_some().into(),
            eps: norm.map_or(0.0, |norm| norm.eps),
        };
        let overrides = shape.overrides(Use {
            epilogue,
            is_normed: norm.is_some(),
            format: shard.format,
            rows: shard.rows,
            width: weights.width,
            workgroups_x: workgroups[0],
        });
        // Without a norm, x is bound in its place and not read there.
        let norm_weight = norm.map_or(x, |norm| norm.weight);
        plan.push(Dispatch {
            kernel: &MATMUL,
            variant: shape.method.variant(),
            format: Some(shard.format),
            overrides,
            params: bytemuck::bytes_of(&params).to_vec(),
            buffers: vec![shard.buffer, shard.buffer, x, norm_weight, out],
            workgroups,
        });
    }
}

/// Rows of `out` that a dispatch writes.
fn output_rows(p: &Params) -> u32 {
    if p.epilogue == Epilogue::SwiGlu as u32 {
        p.rows / 2
    } else {
        p.rows
    }
}

fn cost(d: &Dispatch, step: Step) -> Cost {
    let p: Params = d.params();
    let tokens = if p.tokens == 0 { step.count } else { p.tokens };
    let width = p.groups_per_row * GROUP as u32;
    let floats = u64::from(tokens) * u64::from(width + output_rows(&p));
    Cost {
        shape: [p.rows, width, tokens],
        bytes: 4 * (u64::from(p.rows) * u64::from(p.row_words) + floats),
        flops: 2 * u64::from(p.rows) * u64::from(width) * u64::from(tokens),
    }
}

fn extents(d: &Dispatch, step: Step) -> Vec<u64> {
    let p: Params = d.params();
    let method = MatmulMethod::of_variant(d.variant).unwrap_or(MatmulMethod::Gemv);
    let tokens = match p.tokens {
        // GEMVs multiply the first row of x, and those for GPUs do not read the number of tokens.
        _ if method.class() == MatmulClass::Gemv => 1,
        0 => step.count,
        tokens => tokens,
    };
    let words = u64::from(p.rows.next_multiple_of(TILE as u32)) * u64::from(p.row_words);
    let width = u64::from(p.groups_per_row) * GROUP as u64;
    let x_rows = p.x_first + tokens.next_multiple_of(method.x_rows_at_once());
    let last_out = u64::from(tokens.saturating_sub(1)) * u64::from(p.out_width);
    vec![
        words,
        words,
        u64::from(x_rows) * width,
        u64::from(p.is_normed) * width,
        last_out + u64::from(p.first_row + output_rows(&p)),
    ]
}
