//! Matrix product with stored weights: every projection of the model, for one token or many.

mod cases;
mod reference;

use crate::caps::Caps;
use crate::format::GROUP;
use crate::kernel::{Kernel, Step, Variant, Work, read, write};
use crate::params;
use crate::plan::{BufferRef, Dispatch, Plan};
use crate::weights::Matrix;

params! {
    /// Groups of 32 weights in a row.
    groups: u32,
    /// Rows in the shard.
    rows: u32,
    /// Row of the matrix that the shard begins with.
    first: u32,
    /// Floats from one token's `y` to the next's.
    y_width: u32,
    /// Row of `x` that is the first token's.
    x_first: u32,
    /// Tokens at most; 0: as many as the step says.
    tokens: u32,
    /// 1: add to `y`.
    add: u32,
    /// Workgroups in the first dispatch dimension.
    tiles: u32,
    /// Words in a packed row.
    row_words: u32,
    /// Padding to 16 bytes.
    reserved0: u32,
    /// Padding.
    reserved1: u32,
    /// Padding.
    reserved2: u32,
}

/// Tokens that an invocation of the `block` variant computes.
pub const TOKENS: u32 = 4;
/// Tiles of rows that an invocation of each variant computes a row of.
pub const TILES: [u32; 3] = [1, 8, 8];

/// The kernel.
pub static MATMUL: Kernel = Kernel {
    name: "matmul",
    summary: "y (+)= W x for stored weights W",
    wgsl: include_str!("matmul.wgsl"),
    weights: true,
    params: Params::FIELDS,
    params_bytes: size_of::<Params>(),
    bindings: &[read("weights"), read("x"), write("y")],
    overrides: &["SPLITS"],
    variants: &[
        Variant::base("vector", &["VECTOR"]),
        Variant::base("rows", &["MANY_ROWS", "ROWS"]),
        Variant::base("block", &["MANY_ROWS", "BLOCK"]),
    ],
    work,
    reference: reference::matmul,
    cases: cases::cases,
};

/// Which rows of `x` a product is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tokens {
    /// All tokens of the step, `capacity` at most.
    Step {
        /// The most that the plan can be replayed with.
        capacity: u32,
    },
    /// `count` rows from `first` on.
    Rows {
        /// The first row of `x`.
        first: u32,
        /// How many.
        count: u32,
    },
}

/// Records `y = W x` (or `y += W x`): `x` is `[tokens, W.width]`, `y` is `[tokens, W.rows]`.
pub fn matmul(plan: &mut Plan, caps: &Caps, w: &Matrix, x: BufferRef, y: BufferRef, tokens: Tokens, add: bool) {
    let (x_first, count, capacity) = match tokens {
        Tokens::Step { capacity } => (0, 0, capacity),
        Tokens::Rows { first, count } => (first, count, count),
    };
    // A GPU wants many invocations for one token; a CPU has no latency to hide, and pays for every load.
    let (variant, splits) = match (capacity, caps.cpu) {
        (1, false) => (0, 8),
        (1, true) => (1, 1),
        _ => (2, 1),
    };
    for shard in &w.shards {
        let tiles = shard.rows.div_ceil(crate::format::TILE as u32 * TILES[variant]);
        let across = tiles.min(caps.max_workgroups);
        let params = Params {
            groups: w.groups(),
            rows: shard.rows,
            first: shard.first,
            y_width: w.rows,
            x_first,
            tokens: count,
            add: add.into(),
            tiles: across,
            row_words: w.format.row_words(w.width as usize) as u32,
            reserved0: 0,
            reserved1: 0,
            reserved2: 0,
        };
        plan.push(Dispatch {
            kernel: &MATMUL,
            variant: &MATMUL.variants[variant],
            format: Some(w.format),
            overrides: vec![("SPLITS", splits)],
            params: bytemuck::bytes_of(&params).to_vec(),
            buffers: vec![shard.buffer, x, y],
            workgroups: [across, tiles.div_ceil(across), if variant == 2 { capacity.div_ceil(TOKENS) } else { 1 }],
        });
    }
}

fn work(d: &Dispatch, step: Step) -> Work {
    let p: Params = d.params();
    let (width, tokens) = (p.groups * GROUP as u32, if p.tokens == 0 { step.count } else { p.tokens });
    let (rows, floats) = (u64::from(p.rows), u64::from(tokens) * u64::from(width + p.rows));
    Work {
        shape: [p.rows, width, tokens],
        bytes: 4 * (rows * u64::from(p.row_words) + floats),
        flops: 2 * rows * u64::from(width) * u64::from(tokens),
    }
}
