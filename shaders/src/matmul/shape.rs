//! Which variant computes a product, and how it shares the work out.

use crate::caps::Caps;
use crate::format::{Format, GROUP, TILE};
use crate::kernel::Variant;

use super::{MATMUL, Put};

/// A way to compute products. Some are for one token, the others for many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// One token: lanes share rows out.
    Vector,
    /// One token: the same by dot products of bytes, for formats that have such.
    VectorDot,
    /// One token: eight rows for each lane.
    Rows,
    /// One token: the same, inputs told by broadcast.
    RowsSpread,
    /// Many tokens: tiles in workgroup memory.
    Tile,
    /// Many tokens: tiles in workgroup memory, arithmetic in halves.
    TileHalf,
    /// Many tokens: matrix units.
    Matrix,
    /// Many tokens: eight rows for each lane, one token after the other.
    Block,
    /// Many tokens: the same, inputs told by broadcast.
    BlockSpread,
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

pub(super) const VECTOR: Shape =
    Shape { variant: 0, tiles: 4, lanes: 8, tokens: 1, overrides: &[("LANES", 8), ("SPLITS", 32)] };
/// The same for fewer rows than fill a GPU.
pub(super) const NARROW: Shape = Shape { lanes: 4, overrides: &[("LANES", 4), ("SPLITS", 64)], ..VECTOR };
/// Rows from which on there are enough workgroups with more of them each.
const MANY_ROWS: u32 = 16_384;
/// Teams of 8 rows of two tiles, 4 invocations each: where there are rows enough, each has a stream of its own.
pub(super) const VECTOR_DOT: Shape =
    Shape { variant: 7, tiles: 4, lanes: 32, tokens: 1, overrides: &[("LANES", 8), ("SPLITS", 4)] };
/// Of fewer rows more invocations share each.
pub(super) const SHARED_DOT: Shape =
    Shape { tiles: 2, lanes: 16, overrides: &[("LANES", 16), ("SPLITS", 16)], ..VECTOR_DOT };
pub(super) const NARROW_DOT: Shape =
    Shape { tiles: 2, lanes: 8, overrides: &[("LANES", 8), ("SPLITS", 32)], ..VECTOR_DOT };
/// Rows up to which they are shared by so many.
const NARROW_ROWS: u32 = 4096;
pub(super) const ROWS: Shape = Shape { variant: 1, tiles: 2, lanes: 32, tokens: 1, overrides: &[] };
pub(super) const BLOCK: Shape = Shape { variant: 2, tiles: 2, lanes: 32, tokens: 64, overrides: &[] };
pub(super) const TILES: Shape = Shape { variant: 3, tiles: 4, lanes: 32, tokens: 128, overrides: &[] };
pub(super) const MATRIX: Shape = Shape { variant: 4, tiles: 4, lanes: 32, tokens: 128, overrides: &[] };
pub(super) const ROWS_SPREAD: Shape = Shape { variant: 5, ..ROWS };
pub(super) const BLOCK_SPREAD: Shape = Shape { variant: 6, ..BLOCK };
pub(super) const HALF_TILES: Shape = Shape { variant: 8, tokens: 64, ..TILES };

impl Method {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Vector,
        Self::VectorDot,
        Self::Rows,
        Self::RowsSpread,
        Self::Tile,
        Self::TileHalf,
        Self::Matrix,
        Self::Block,
        Self::BlockSpread,
    ];

    /// For products of up to `capacity` tokens: what the device is tuned to, where it runs, else what suits such devices.
    pub fn of(caps: &Caps, capacity: u32) -> Self {
        let tuned = if capacity == 1 { caps.tuning.one } else { caps.tuning.many };
        tuned.filter(|method| method.suits(caps, capacity)).unwrap_or_else(|| Self::built_in(caps, capacity))
    }

    /// What suits such devices, as measured on some.
    pub fn built_in(caps: &Caps, capacity: u32) -> Self {
        match (capacity, caps.cpu) {
            (1, false) if caps.dots => Self::VectorDot,
            (1, false) => Self::Vector,
            (1, true) if caps.spread => Self::RowsSpread,
            (1, true) => Self::Rows,
            (_, false) if caps.matrices => Self::Matrix,
            (_, false) if caps.halves => Self::TileHalf,
            (_, false) => Self::Tile,
            (_, true) if caps.spread => Self::BlockSpread,
            (_, true) => Self::Block,
        }
    }

    /// Whether it is for so many tokens, and the device can run it.
    pub fn suits(self, caps: &Caps, capacity: u32) -> bool {
        self.is_for(capacity) && MATMUL.variants[self.shape(0).variant].runs_on(caps)
    }

    /// Whether it is for so many tokens.
    pub fn is_for(self, capacity: u32) -> bool {
        let one = matches!(self, Self::Vector | Self::VectorDot | Self::Rows | Self::RowsSpread);
        one == (capacity == 1)
    }

    /// Whether a variant is for one token.
    pub(super) fn is_for_one(variant: &Variant) -> bool {
        Self::ALL.into_iter().any(|method| method.is_for(1) && method.name() == variant.name)
    }

    /// Whether it can normalise x as it goes. The others have norms as steps of their own: many tokens would be normalised again
    /// for each tile of rows, and in `rows` loading a norm's weights takes as long as a launch.
    pub(super) fn normalises(self) -> bool {
        matches!(self, Self::Vector | Self::VectorDot | Self::RowsSpread)
    }

    /// The one for weights of this format.
    pub(super) fn of_format(self, format: Format) -> Self {
        if MATMUL.variants[self.shape(0).variant].takes(Some(format)) { self } else { Self::Vector }
    }

    /// The variant's name.
    pub fn name(self) -> &'static str {
        MATMUL.variants[self.shape(0).variant].name
    }

    /// The shape for this many rows.
    pub(super) fn shape(self, rows: u32) -> Shape {
        match self {
            Self::Vector if rows < MANY_ROWS => NARROW,
            Self::Vector => VECTOR,
            Self::VectorDot if rows <= NARROW_ROWS => NARROW_DOT,
            Self::VectorDot if rows < MANY_ROWS => SHARED_DOT,
            Self::VectorDot => VECTOR_DOT,
            Self::Rows => ROWS,
            Self::RowsSpread => ROWS_SPREAD,
            Self::Tile => TILES,
            Self::TileHalf => HALF_TILES,
            Self::Matrix => MATRIX,
            Self::Block => BLOCK,
            Self::BlockSpread => BLOCK_SPREAD,
        }
    }
}

impl Shape {
    /// The overrides of a product with a shard, of which this becomes.
    pub fn overrides(
        self,
        put: Put,
        normed: bool,
        format: Format,
        rows: u32,
        width: u32,
        across: u32,
    ) -> Vec<(&'static str, u32)> {
        let mut overrides = self.overrides.to_vec();
        // CPUs compile for longer than they branch: one pipeline has to do for all uses.
        if !MATMUL.variants[self.variant].is_for_cpus() {
            overrides.push(("PUT", put as u32));
            if normed {
                overrides.push(("NORMED", 1));
            }
        }
        if [VECTOR.variant, VECTOR_DOT.variant].contains(&self.variant) {
            let row_words = format.row_words(width as usize) as u32;
            let groups = width / GROUP as u32;
            overrides.extend([("GROUPS", groups), ("ROWS", rows), ("ROW_WORDS", row_words), ("ACROSS", across)]);
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
