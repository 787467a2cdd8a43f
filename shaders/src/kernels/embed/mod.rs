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
}

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

/// Records `x[t] = table[tokens[t]]` for the tokens of the step, at most `chunk`.
///
/// `x` is `[tokens, table.width]`.
pub fn embed(plan: &mut Plan, table: &Matrix, tokens: BufferRef, x: BufferRef, chunk: u32) {
    for shard in &table.shards {
        let params = Params {
            groups_per_row: table.groups_per_row(),
            rows: shard.rows,
            first_row: shard.first,
            row_words: shard.format.row_words(table.width as usize) as u32,
        };
        plan.push(Dispatch {
            kernel: &EMBED,
            variant: &EMBED.variants[0],
            format: Some(shard.format),
            overrides: Vec::new(),
            params: bytemuck::bytes_of(&params).to_vec(),
            buffers: vec![shard.buffer, shard.buffer, tokens, x],
            workgroups: [table.groups_per_row().div_ceil(64), chunk, 1],
        });
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
        u64::from(tokens) * u64::from(p.groups_per_row * GROUP as u32),
    ]
}
