//! Sums of squares of a matrix's activations, column by column. Importance matrices consist of
//! them.

#[cfg(feature = "testing")]
mod cases;
#[cfg(feature = "testing")]
mod reference;

use crate::buffers::BufferRef;
use crate::kernel::params;
use crate::kernel::{Cost, Dispatch, Kernel, Step, Variant, read, write};

params! {
    /// Columns of `x`.
    width: u32,
    /// Padding to 16 bytes.
    reserved0: u32,
    /// Padding.
    reserved1: u32,
    /// Padding.
    reserved2: u32,
}

/// The kernel.
pub static COLUMN_SQUARES: Kernel = Kernel {
    name: "column_squares",
    summary: "sums += x^2, column by column",
    wgsl: include_str!("column_squares.wgsl"),
    weights: false,
    params: Params::FIELDS,
    params_bytes: size_of::<Params>(),
    bindings: &[read("x"), write("sums")],
    overrides: &[],
    variants: &[Variant::base("base", &[])],
    cost,
    extents,
    #[cfg(feature = "testing")]
    reference: reference::column_squares,
    #[cfg(feature = "testing")]
    cases: cases::cases,
};

/// The dispatch of `sums[c] += x[t][c]^2` over all tokens of the step.
///
/// `x` is `[tokens, width]`, `sums` is `[width]`.
pub fn column_squares(x: BufferRef, sums: BufferRef, width: u32) -> Dispatch {
    let params = Params {
        width,
        reserved0: 0,
        reserved1: 0,
        reserved2: 0,
    };
    Dispatch {
        kernel: &COLUMN_SQUARES,
        variant: &COLUMN_SQUARES.variants[0],
        format: None,
        overrides: Vec::new(),
        params: bytemuck::bytes_of(&params).to_vec(),
        buffers: vec![x, sums],
        workgroups: [width.div_ceil(64), 1, 1],
    }
}

fn cost(d: &Dispatch, step: Step) -> Cost {
    let p: Params = d.params();
    let floats = u64::from(p.width) * u64::from(step.count);
    Cost {
        shape: [p.width, step.count, 0],
        bytes: 4 * (floats + 2 * u64::from(p.width)),
        flops: 2 * floats,
    }
}

fn extents(d: &Dispatch, step: Step) -> Vec<u64> {
    let width = u64::from(d.params::<Params>().width);
    vec![u64::from(step.count) * width, width]
}
