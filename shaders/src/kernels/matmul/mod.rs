//! Matrix product with stored weights: every projection of the model, for one token or many.

mod cases;
mod reference;
mod shape;

use crate::capabilities::Capabilities;
use crate::kernel::{Cost, Kernel, Step, Variant, read, write};
use crate::kernels::rms_norm::{Norm, rms_norm};
use crate::params;
use crate::plan::{BufferRef, Dispatch, Plan};
use crate::weights::Matrix;
use crate::weights::{GROUP, TILE};

pub use shape::Method;

params! {
    /// Groups of 32 weights in a row.
    groups: u32,
    /// Rows in the shard.
    rows: u32,
    /// Row of `y` that the shard begins with.
    first: u32,
    /// Floats from one token's `y` to the next's.
    y_width: u32,
    /// Row of `x` that is the first token's.
    x_first: u32,
    /// Tokens at most; 0: as many as the step says.
    tokens: u32,
    /// What becomes of the product: [`Epilogue`] as a number.
    epilogue: u32,
    /// Workgroups in the first dispatch dimension.
    across: u32,
    /// Words in a packed row.
    row_words: u32,
    /// 1: `x` is still to be normalised.
    normed: u32,
    /// Added to the mean square then.
    eps: f32,
}

/// The kernel.
pub static MATMUL: Kernel = Kernel {
    name: "matmul",
    summary: "y (+)= W x for stored weights W",
    wgsl: include_str!("matmul.wgsl"),
    weights: true,
    params: Params::FIELDS,
    params_bytes: size_of::<Params>(),
    bindings: &[
        read("weights"),
        read("quads"),
        read("x"),
        read("norm"),
        write("y"),
    ],
    overrides: &[
        "LANES",
        "SPLITS",
        "EPILOGUE",
        "NORMED",
        "GROUPS",
        "ROWS",
        "ROW_WORDS",
        "ACROSS",
    ],
    variants: &[
        Variant::base("gemv", &["GEMV"]),
        Variant::base("cpu_gemv", &["CPU", "CPU_GEMV"]),
        Variant::base("cpu_gemm", &["CPU", "CPU_GEMM"]),
        Variant::base("gemm", &["GEMM"]),
        Variant::cooperative_matrix("gemm_coop", &["GEMM_COOP", "F16"]),
        Variant::subgroups8_int64(
            "cpu_gemv_subgroup",
            &["CPU", "CPU_GEMV_SUBGROUP", "SUBGROUP_BROADCAST", "INT64"],
        ),
        Variant::subgroups8_int64(
            "cpu_gemm_subgroup",
            &["CPU", "CPU_GEMM", "SUBGROUP_BROADCAST", "INT64"],
        ),
        Variant::codes("gemv_dp4a", &["GEMV_DP4A"]),
        Variant::shader_f16("gemm_f16", &["GEMM", "F16"]),
    ],
    cost,
    extents,
    reference: reference::matmul,
    cases: cases::cases,
};

/// Rows of `x` that variants for many tokens load together, at most. They load whole groups of
/// rows, counted from the first token's: `x` must have them, but what is in the rows beyond the
/// last token's does not matter.
pub const X_ROW_GROUP: u32 = 16;

/// Which rows of `x` a product is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tokens {
    /// All tokens of the step, `chunk` at most.
    Step {
        /// The most that the plan can be replayed with.
        chunk: u32,
    },
    /// `count` rows from `first` on; a single one is the first.
    Rows {
        /// The first row of `x`.
        first: u32,
        /// How many.
        count: u32,
    },
}

/// What becomes of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Epilogue {
    /// It is stored.
    Store,
    /// It is added to what is there.
    Accumulate,
    /// Tiles of [`TILE`] rows alternate between a gate and what it is for: `silu(gate) * up` is
    /// stored, half as long.
    SwiGlu,
    /// What is there is the gate: `silu(y) * product` takes its place.
    SwiGluInPlace,
}

/// Records `y = W x` (or what `epilogue` says): `x` is `[tokens, W.width]`, and has whole groups of
/// [`X_ROW_GROUP`] rows, `y` is `[tokens, W.rows]`, or half of that for [`Epilogue::SwiGlu`].
pub fn matmul(
    plan: &mut Plan,
    caps: &Capabilities,
    w: &Matrix,
    x: BufferRef,
    y: BufferRef,
    tokens: Tokens,
    epilogue: Epilogue,
) {
    record(plan, caps, w, x, None, y, tokens, epilogue);
}

/// Records `y = W norm(x)` (or what `epilogue` says) for all tokens of the step, `chunk` at most.
/// Where the norm is a step of its own `h` takes its result: `[tokens, W.width]`.
pub fn normed_matmul(
    plan: &mut Plan,
    caps: &Capabilities,
    w: &Matrix,
    norm: &Norm,
    x: BufferRef,
    h: BufferRef,
    y: BufferRef,
    chunk: u32,
    epilogue: Epilogue,
) {
    let tokens = Tokens::Step { chunk };
    if Method::of(caps, chunk).normalises() {
        return record(plan, caps, w, x, Some(norm), y, tokens, epilogue);
    }
    rms_norm(plan, caps, norm, x, h, chunk);
    record(plan, caps, w, h, None, y, tokens, epilogue);
}

fn record(
    plan: &mut Plan,
    caps: &Capabilities,
    w: &Matrix,
    x: BufferRef,
    norm: Option<&Norm>,
    y: BufferRef,
    tokens: Tokens,
    epilogue: Epilogue,
) {
    let (x_first, count, chunk) = match tokens {
        Tokens::Step { chunk } => (0, 0, chunk),
        Tokens::Rows { first, count } => (first, count, count),
    };
    debug_assert!(
        chunk > 1 || x_first == 0,
        "products of one token are of the first"
    );
    let halves = if epilogue == Epilogue::SwiGlu { 2 } else { 1 };
    let method = Method::of(caps, chunk);
    for shard in &w.shards {
        let shape = method.of_format(shard.format).shape(shard.rows);
        let workgroups = shape.workgroups(shard.rows, chunk, caps.max_workgroups);
        let params = Params {
            groups: w.groups(),
            rows: shard.rows,
            first: shard.first / halves,
            y_width: w.rows / halves,
            x_first,
            tokens: count,
            epilogue: epilogue as u32,
            across: workgroups[0],
            row_words: shard.format.row_words(w.width as usize) as u32,
            normed: norm.is_some().into(),
            eps: norm.map_or(0.0, |norm| norm.eps),
        };
        let overrides = shape.overrides(
            epilogue,
            norm.is_some(),
            shard.format,
            shard.rows,
            w.width,
            workgroups[0],
        );
        plan.push(Dispatch {
            kernel: &MATMUL,
            variant: &MATMUL.variants[shape.variant],
            format: Some(shard.format),
            overrides,
            params: bytemuck::bytes_of(&params).to_vec(),
            // What is not normalised binds x once more.
            buffers: vec![
                shard.buffer,
                shard.buffer,
                x,
                norm.map_or(x, |norm| norm.weight),
                y,
            ],
            workgroups,
        });
    }
}

fn cost(d: &Dispatch, step: Step) -> Cost {
    let p: Params = d.params();
    let (width, tokens) = (
        p.groups * GROUP as u32,
        if p.tokens == 0 { step.count } else { p.tokens },
    );
    let halves = if p.epilogue == Epilogue::SwiGlu as u32 {
        2
    } else {
        1
    };
    let (rows, floats) = (
        u64::from(p.rows),
        u64::from(tokens) * u64::from(width + p.rows / halves),
    );
    Cost {
        shape: [p.rows, width, tokens],
        bytes: 4 * (rows * u64::from(p.row_words) + floats),
        flops: 2 * rows * u64::from(width) * u64::from(tokens),
    }
}

/// Rows of x that a variant loads together, and those of them that are no tokens it does not use:
/// see `last_row_group` in the WGSL.
fn x_rows_at_once(variant: &Variant) -> u32 {
    match variant.name {
        "gemm_coop" => X_ROW_GROUP,
        "gemm" | "gemm_f16" => 4,
        _ => 1,
    }
}

fn extents(d: &Dispatch, step: Step) -> Vec<u64> {
    let p: Params = d.params();
    let tokens = if p.tokens == 0 { step.count } else { p.tokens };
    // Variants for one token take the first of x, and those for GPUs ask for no number of tokens.
    let tokens = if Method::is_for_one(d.variant) {
        1
    } else {
        tokens
    };
    let words = u64::from(p.rows.div_ceil(TILE as u32) * TILE as u32) * u64::from(p.row_words);
    let width = u64::from(p.groups) * GROUP as u64;
    let rows = if p.epilogue == Epilogue::SwiGlu as u32 {
        p.rows / 2
    } else {
        p.rows
    };
    let stored =
        u64::from(tokens.saturating_sub(1)) * u64::from(p.y_width) + u64::from(p.first + rows);
    vec![
        words,
        words,
        u64::from(p.x_first + tokens.next_multiple_of(x_rows_at_once(d.variant))) * width,
        u64::from(p.normed) * width,
        stored,
    ]
}
