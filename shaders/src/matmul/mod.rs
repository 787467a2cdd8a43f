//! Matrix product with stored weights: every projection of the model, for one token or many.

mod cases;
mod reference;

use crate::caps::Caps;
use crate::format::{GROUP, TILE};
use crate::kernel::{Kernel, Step, Variant, Work, read, write};
use crate::params;
use crate::plan::{BufferRef, Dispatch, Plan};
use crate::weights::Matrix;

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
    /// What becomes of the product: [`Put`] as a number.
    put: u32,
    /// Workgroups in the first dispatch dimension.
    across: u32,
    /// Words in a packed row.
    row_words: u32,
    /// Padding to 16 bytes.
    reserved0: u32,
    /// Padding.
    reserved1: u32,
    /// Padding.
    reserved2: u32,
}

/// How a variant shares the work out.
#[derive(Clone, Copy, Debug)]
struct Shape {
    variant: usize,
    /// Tiles that a workgroup has rows of.
    tiles: u32,
    /// Rows of each tile in a workgroup.
    lanes: u32,
    /// Tokens of a workgroup.
    tokens: u32,
    overrides: &'static [(&'static str, u32)],
}

/// One token on a GPU.
const VECTOR: Shape = Shape { variant: 0, tiles: 4, lanes: 8, tokens: 1, overrides: &[("LANES", 8), ("SPLITS", 32)] };
/// The same for fewer rows than fill a GPU.
const NARROW: Shape = Shape { lanes: 4, overrides: &[("LANES", 4), ("SPLITS", 64)], ..VECTOR };
/// Rows from which on there are enough workgroups with more of them each.
const MANY_ROWS: u32 = 16_384;
/// One token on a CPU.
const ROWS: Shape = Shape { variant: 1, tiles: 8, lanes: 32, tokens: 1, overrides: &[] };
/// Many tokens on a CPU.
const BLOCK: Shape = Shape { variant: 2, tiles: 8, lanes: 32, tokens: 4, overrides: &[] };
/// One token on a CPU with subgroups.
const ROWS_SPREAD: Shape = Shape { variant: 5, tiles: 2, lanes: 32, tokens: 1, overrides: &[] };
/// Many tokens on a CPU with subgroups.
const BLOCK_SPREAD: Shape = Shape { variant: 6, tiles: 2, lanes: 32, tokens: 8, overrides: &[] };
/// Many tokens on a GPU.
const TILES: Shape = Shape { variant: 3, tiles: 2, lanes: 32, tokens: 64, overrides: &[] };
/// Many tokens on a GPU with matrix units.
const MATRIX: Shape = Shape { variant: 4, tiles: 4, lanes: 32, tokens: 128, overrides: &[] };

impl Shape {
    /// The shape for products of this many rows and up to `capacity` tokens.
    fn of(caps: &Caps, rows: u32, capacity: u32) -> Self {
        match (capacity, caps.cpu) {
            (1, false) if rows < MANY_ROWS => NARROW,
            (1, false) => VECTOR,
            (1, true) if caps.spread => ROWS_SPREAD,
            (1, true) => ROWS,
            (_, false) if caps.matrices => MATRIX,
            (_, false) => TILES,
            (_, true) if caps.spread => BLOCK_SPREAD,
            (_, true) => BLOCK,
        }
    }

    /// Workgroups for this many rows and tokens; the first dimension holds `most` at most.
    fn workgroups(self, rows: u32, tokens: u32, most: u32) -> [u32; 3] {
        let units = rows.div_ceil(self.tiles * TILE as u32) * (TILE as u32 / self.lanes);
        let across = units.min(most);
        [across, units.div_ceil(across), tokens.div_ceil(self.tokens)]
    }
}

/// The kernel.
pub static MATMUL: Kernel = Kernel {
    name: "matmul",
    summary: "y (+)= W x for stored weights W",
    wgsl: include_str!("matmul.wgsl"),
    weights: true,
    params: Params::FIELDS,
    params_bytes: size_of::<Params>(),
    bindings: &[read("weights"), read("quads"), read("x"), write("y")],
    overrides: &["LANES", "SPLITS"],
    variants: &[
        Variant::base("vector", &["VECTOR"]),
        Variant::base("rows", &["ROWS"]),
        Variant::base("block", &["BLOCK"]),
        Variant::base("tile", &["TILE"]),
        Variant::matrices("matrix", &["MATRIX"]),
        Variant::spread("rows_spread", &["ROWS_SPREAD", "INT64"]),
        Variant::spread("block_spread", &["BLOCK_SPREAD", "INT64"]),
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

/// What becomes of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is stored.
    Store,
    /// It is added to what is there.
    Add,
    /// Tiles of [`TILE`] rows alternate between a gate and what it is for: `silu(gate) * up` is stored, half as long.
    Pairs,
    /// What is there is the gate: `silu(y) * product` takes its place.
    Gated,
}

/// Records `y = W x` (or what `put` says): `x` is `[tokens, W.width]`, `y` is `[tokens, W.rows]`, or half of that for
/// [`Put::Pairs`].
pub fn matmul(plan: &mut Plan, caps: &Caps, w: &Matrix, x: BufferRef, y: BufferRef, tokens: Tokens, put: Put) {
    let (x_first, count, capacity) = match tokens {
        Tokens::Step { capacity } => (0, 0, capacity),
        Tokens::Rows { first, count } => (first, count, count),
    };
    let halves = if put == Put::Pairs { 2 } else { 1 };
    for shard in &w.shards {
        let shape = Shape::of(caps, shard.rows, capacity);
        let workgroups = shape.workgroups(shard.rows, capacity, caps.max_workgroups);
        let params = Params {
            groups: w.groups(),
            rows: shard.rows,
            first: shard.first / halves,
            y_width: w.rows / halves,
            x_first,
            tokens: count,
            put: put as u32,
            across: workgroups[0],
            row_words: shard.format.row_words(w.width as usize) as u32,
            reserved0: 0,
            reserved1: 0,
            reserved2: 0,
        };
        plan.push(Dispatch {
            kernel: &MATMUL,
            variant: &MATMUL.variants[shape.variant],
            format: Some(shard.format),
            overrides: shape.overrides.to_vec(),
            params: bytemuck::bytes_of(&params).to_vec(),
            buffers: vec![shard.buffer, shard.buffer, x, y],
            workgroups,
        });
    }
}

fn work(d: &Dispatch, step: Step) -> Work {
    let p: Params = d.params();
    let (width, tokens) = (p.groups * GROUP as u32, if p.tokens == 0 { step.count } else { p.tokens });
    let halves = if p.put == Put::Pairs as u32 { 2 } else { 1 };
    let (rows, floats) = (u64::from(p.rows), u64::from(tokens) * u64::from(width + p.rows / halves));
    Work {
        shape: [p.rows, width, tokens],
        bytes: 4 * (rows * u64::from(p.row_words) + floats),
        flops: 2 * rows * u64::from(width) * u64::from(tokens),
    }
}
