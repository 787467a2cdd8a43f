//! Root mean square normalisation (Zhang and Sennrich 2019).

#[cfg(feature = "testing")]
mod cases;
#[cfg(feature = "testing")]
mod reference;

use crate::buffers::BufferRef;
use crate::capabilities::Capabilities;
use crate::kernel::params;
use crate::kernel::{Cost, Dispatch, Kernel, Step, Variant, read, write};
use crate::plan::Plan;

params! {
    /// Length of a vector.
    width: u32,
    /// Added to the mean square.
    eps: f32,
    /// The rows of `x`: 0 all, 1 the last, 2 the listed ones: see [`Rows`].
    rows: u32,
    /// Padding.
    reserved: u32,
}

/// [`Params::rows`]: the row of the step's last token, into the first row of `out`.
const LAST_ROW: u32 = 1;
/// [`Params::rows`]: the rows of the tokens in `outputs`.
const LISTED_ROWS: u32 = 2;

/// The kernel.
pub static RMS_NORM: Kernel = Kernel {
    name: "rms_norm",
    summary: "out = x / sqrt(mean(x^2) + eps) * weight",
    wgsl: include_str!("rms_norm.wgsl"),
    weights: false,
    params: Params::FIELDS,
    params_bytes: size_of::<Params>(),
    bindings: &[
        read("x"),
        read("weight"),
        read("outputs").of_integers(),
        write("out"),
    ],
    overrides: &[],
    variants: &[Variant::base("base", &[]), Variant::base("cpu", &["CPU"])],
    cost,
    extents,
    #[cfg(feature = "testing")]
    reference: reference::rms_norm,
    #[cfg(feature = "testing")]
    cases: cases::cases,
};

/// Tokens that a workgroup of each variant normalises.
const TOKENS_PER_WORKGROUP: [u32; 2] = [1, 8];

/// A normalisation's weight vector.
#[derive(Clone, Copy, Debug)]
pub struct Norm {
    /// `[width]` floats.
    pub weight: BufferRef,
    /// Length of a vector.
    pub width: u32,
    /// Added to the mean square.
    pub eps: f32,
}

/// The rows of `x` that are normalised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// The rows of all tokens of the step.
    All {
        /// The most tokens that the plan is replayed with.
        chunk: u32,
    },
    /// The row of the step's last token, into the first row of `out`.
    Last,
    /// The rows of listed tokens, as many as the step has outputs: row `i` of `out` is that of
    /// token `outputs[i]`. It stays as it is where that is no token of the step.
    Listed {
        /// `[count]` indices of tokens in the step.
        outputs: BufferRef,
        /// The most outputs that the plan is replayed with.
        count: u32,
    },
}

/// `out[t] = norm(x[t])` for all tokens of the step, or for some.
#[derive(Clone, Copy, Debug)]
pub struct RmsNorm<'a> {
    /// The weights and the epsilon.
    pub norm: &'a Norm,
    /// `[tokens, width]`.
    pub x: BufferRef,
    /// `[tokens, width]`; one row for [`Rows::Last`], `[count, width]` for [`Rows::Listed`].
    pub out: BufferRef,
    /// The rows of `x`.
    pub rows: Rows,
}

impl RmsNorm<'_> {
    /// Appends the dispatch to the plan.
    pub fn record(&self, plan: &mut Plan, caps: &Capabilities) {
        let Self { norm, x, out, rows } = *self;
        let variant = usize::from(caps.cpu);
        let (mode, tokens, outputs) = match rows {
            // Without a list, x is bound in its place and not read there.
            Rows::All { chunk } => (0, chunk, x),
            Rows::Last => (LAST_ROW, 1, x),
            Rows::Listed { outputs, count } => (LISTED_ROWS, count, outputs),
        };
        let params = Params {
            width: norm.width,
            eps: norm.eps,
            rows: mode,
            reserved: 0,
        };
        plan.push(Dispatch {
            kernel: &RMS_NORM,
            variant: &RMS_NORM.variants[variant],
            format: None,
            overrides: Vec::new(),
            params: bytemuck::bytes_of(&params).to_vec(),
            buffers: vec![x, norm.weight, outputs, out],
            workgroups: [tokens.div_ceil(TOKENS_PER_WORKGROUP[variant]), 1, 1],
        });
    }
}

/// Rows of `out` that a step computes.
fn rows_of_out(p: &Params, step: Step) -> u32 {
    match p.rows {
        LAST_ROW => 1,
        LISTED_ROWS => step.outputs,
        _ => step.count,
    }
}

fn cost(d: &Dispatch, step: Step) -> Cost {
    let p: Params = d.params();
    let rows = rows_of_out(&p, step);
    let width = u64::from(p.width);
    let floats = width * u64::from(rows);
    Cost {
        shape: [p.width, rows, 0],
        bytes: 4 * (2 * floats + width),
        flops: 4 * floats,
    }
}

fn extents(d: &Dispatch, step: Step) -> Vec<u64> {
    let p: Params = d.params();
    let width = u64::from(p.width);
    let most = d.workgroups[0] * TOKENS_PER_WORKGROUP[usize::from(d.variant.is_for_cpus())];
    let rows = rows_of_out(&p, step).min(most);
    let (tokens, listed) = match p.rows {
        LAST_ROW => (step.count, 0),
        LISTED_ROWS => (step.count, rows),
        _ => (rows, 0),
    };
    vec![
        u64::from(tokens) * width,
        width,
        listed.into(),
        u64::from(rows) * width,
    ]
}
