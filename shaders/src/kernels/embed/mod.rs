//! Token embedding: rows of a stored matrix, dequantised.

mod cases;
mod reference;

use crate::kernel::{Cost, Kernel, Step, Variant, read, write};
use crate::params;
use crate::plan::{BufferRef, Dispatch, Plan};
use crate::weights::Matrix;
use crate::weights::{GROUP, TILE};

params! {
    /// Groups of 32 weights in a row.
    groups: u32,
    /// Rows in the shard.
    rows: u32,
    /// Row of the matrix that the shard begins with.
    first: u32,
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
    bindings: &[read("weights"), read("quads"), read("tokens"), write("x")],
    overrides: &[],
    variants: &[Variant::base("base", &[])],
    cost,
    extents,
    reference: reference::embed,
    cases: cases::cases,
};

/// Records `x[t] = table[tokens[t]]` for the tokens of the step, `chunk` at most. `x` is `[tokens,
/// table.width]`.
pub fn embed(plan: &mut Plan, table: &Matrix, tokens: BufferRef, x: BufferRef, chunk: u32) {
    for shard in &table.shards {
        let params = Params {
            groups: table.groups(),
            rows: shard.rows,
            first: shard.first,
            row_words: shard.format.row_words(table.width as usize) as u32,
        };
        plan.push(Dispatch {
            kernel: &EMBED,
            variant: &EMBED.variants[0],
            format: Some(shard.format),
            overrides: Vec::new(),
            params: bytemuck::bytes_of(&params).to_vec(),
            buffers: vec![shard.buffer, shard.buffer, tokens, x],
            workgroups: [table.groups().div_ceil(64), chunk, 1],
        });
    }
}

/// The first shard counts all tokens: which shard a token's row is in is not known here.
fn cost(d: &Dispatch, step: Step) -> Cost {
    let p: Params = d.params();
    let width = p.groups * GROUP as u32;
    let tokens = if p.first == 0 { step.count } else { 0 };
    let words = u64::from(tokens) * u64::from(p.row_words + width);
    Cost {
        shape: [p.rows, width, step.count],
        bytes: 4 * words,
        flops: 0,
    }
}

fn extents(d: &Dispatch, step: Step) -> Vec<u64> {
    let p: Params = d.params();
    let (weights, tokens) = (
        p.rows.div_ceil(TILE as u32) * TILE as u32,
        step.count.min(d.workgroups[1]),
    );
    let words = u64::from(weights) * u64::from(p.row_words);
    vec![
        words,
        words,
        tokens.into(),
        u64::from(tokens) * u64::from(p.groups * GROUP as u32),
    ]
}
