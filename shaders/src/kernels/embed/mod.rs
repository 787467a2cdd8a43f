//! Token embedding: the dequantised rows of a stored matrix.

#[cfg(feature = "testing")]
mod cases;
#[cfg(feature = "testing")]
mod reference;

use crate::buffers::BufferRef;
use crate::kernel::params;
use crate::kernel::{Cost, Dispatch, Kernel, Step, Variant, read, write};
use crate::plan::Plan;
use crate::weights::{GROUP, Matrix, TILE};

params! {
    /// Groups of 32 weights in a row.
    groups_per_row: u32,
    /// Rows in the shard.
    rows: u32,
    /// Row of the matrix that the shard begins with.
    first_row: u32,
    /// Words in a packed row.
    row_words: u32,
    /// Length of `chosen`.
    chosen_len: u32,
    /// Padding to 16 bytes.
    reserved0: u32,
    /// Padding.
    reserved1: u32,
    /// Padding.
    reserved2: u32,
}

/// Marks an index of a chosen token in place of a token id: `CHOSEN | i` is the token that
/// `chosen[i]` holds when the kernel runs. The host can submit a step before it has heard of the
/// step's tokens.
pub const CHOSEN: u32 = 1 << 31;

/// The kernel.
pub static EMBED: Kernel = Kernel {
    name: "embed",
    summary: "x[t] = W[token[t]]",
    wgsl: include_str!("embed.wgsl"),
    weights: true,
    params: Params::FIELDS,
    params_bytes: size_of::<Params>(),
    bindings: &[
        read("weights"),
        read("weights_vec4"),
        read("tokens"),
        read("chosen"),
        write("x"),
    ],
    overrides: &[],
    variants: &[Variant::base("base", &[])],
    cost,
    extents,
    #[cfg(feature = "testing")]
    reference: reference::embed,
    #[cfg(feature = "testing")]
    cases: cases::cases,
};

/// `x[t] = table[tokens[t]]` for the tokens of the step. Rows of `x` whose token is beyond the
/// vocabulary stay as they are.
#[derive(Clone, Copy, Debug)]
pub struct Embed<'a> {
    /// The embedding.
    pub table: &'a Matrix,
    /// `[tokens]` ids, or indices of chosen tokens: [`CHOSEN`].
    pub tokens: BufferRef,
    /// Chosen tokens.
    pub chosen: BufferRef,
    /// `[tokens, table.width]`.
    pub x: BufferRef,
    /// The most tokens that the plan is replayed with.
    pub chunk: u32,
}

impl Embed<'_> {
    /// Appends the dispatches to the plan, one for each shard.
    pub fn record(&self, plan: &mut Plan) {
        let Self {
            table,
            tokens,
            chosen,
            x,
            chunk,
        } = *self;
        for shard in &table.shards {
            let params = Params {
                groups_per_row: table.groups_per_row(),
                rows: shard.rows,
                first_row: shard.first,
                row_words: shard.format.row_words(table.width as usize) as u32,
                chosen_len: (chosen.bytes / 4) as u32,
                reserved0: 0,
                reserved1: 0,
                reserved2: 0,
            };
            plan.push(Dispatch {
                kernel: &EMBED,
                variant: &EMBED.variants[0],
                format: Some(shard.format),
                overrides: Vec::new(),
                params: bytemuck::bytes_of(&params).to_vec(),
                buffers: vec![shard.buffer, shard.buffer, tokens, chosen, x],
                workgroups: [table.groups_per_row().div_ceil(64), chunk, 1],
            });
        }
    }
}

/// The first shard's dispatch counts all tokens: the host does not know which shard has a token's
/// row.
fn cost(d: &Dispatch, step: Step) -> Cost {
    let p: Params = d.params();
    let width = p.groups_per_row * GROUP as u32;
    let tokens = if p.first_row == 0 { step.count } else { 0 };
    let words = u64::from(tokens) * u64::from(p.row_words + width);
    Cost {
        shape: [p.rows, width, step.count],
        bytes: 4 * words,
        flops: 0,
    }
}

fn extents(d: &Dispatch, step: Step) -> Vec<u64> {
    let p: Params = d.params();
    let rows = p.rows.next_multiple_of(TILE as u32);
    let tokens = step.count.min(d.workgroups[1]);
    let words = u64::from(rows) * u64::from(p.row_words);
    vec![
        words,
        words,
        tokens.into(),
        p.chosen_len.into(),
        u64::from(tokens) * u64::from(p.groups_per_row * GROUP as u32),
    ]
}
