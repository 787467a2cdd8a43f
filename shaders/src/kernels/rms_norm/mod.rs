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
    /// 1: only the step's last token, into the first row of `out`.
    is_last_only: u32,
    /// Padding.
    reserved: u32,
}

/// The kernel.
pub static RMS_NORM: Kernel = Kernel {
    name: "rms_norm",
    summary: "out = x / sqrt(mean(x^2) + eps) * weight",
    wgsl: include_str!("rms_norm.wgsl"),
    weights: false,
    params: Params::FIELDS,
    params_bytes: size_of::<Params>(),
    bindings: &[read("x"), read("weight"), write("out")],
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
}

/// `out[t] = norm(x[t])`.
#[derive(Clone, Copy, Debug)]
pub struct RmsNorm<'a> {
    /// The weights and the epsilon.
    pub norm: &'a Norm,
    /// `[tokens, width]`.
    pub x: BufferRef,
    /// `[tokens, width]`, or one row for [`Rows::Last`].
    pub out: BufferRef,
    /// The rows of `x`.
    pub rows: Rows,
}

impl RmsNorm<'_> {
    /// Appends the dispatch to the plan.
    pub fn record(&self, plan: &mut Plan, caps: &Capabilities) {
        let Self { norm, x, out, rows } = *self;
        let variant = usize::from(caps.cpu);
        let tokens = match rows {
            Rows::All { chunk } => chunk,
            Rows::Last => 1,
        };
        let is_last_only = u32::from(rows == Rows::Last);
        let params = Params {
            width: norm.width,
            eps: norm.eps,
            is_last_only,
            reserved: 0,
        };
        plan.push(Dispatch {
            kernel: &RMS_NORM,
            variant: &RMS_NORM.variants[variant],
            format: None,
            overrides: Vec::new(),
            params: bytemuck::bytes_of(&params).to_vec(),
            buffers: vec![x, norm.weight, out],
            workgroups: [tokens.div_ceil(TOKENS_PER_WORKGROUP[variant]), 1, 1],
        });
    }
}

fn cost(d: &Dispatch, step: Step) -> Cost {
    let p: Params = d.params();
    let tokens = if p.is_last_only == 1 { 1 } else { step.count };
    let width = u64::from(p.width);
    let floats = width * u64::from(tokens);
    Cost {
        shape: [p.width, tokens, 0],
        bytes: 4 * (2 * floats + width),
        flops: 4 * floats,
    }
}

fn extents(d: &Dispatch, step: Step) -> Vec<u64> {
    let p: Params = d.params();
    let width = u64::from(p.width);
    let most = d.workgroups[0] * TOKENS_PER_WORKGROUP[usize::from(d.variant.is_for_cpus())];
    match p.is_last_only {
        1 => vec![u64::from(step.count) * width, width, width],
        _ => {
            let floats = u64::from(step.count.min(most)) * width;
            vec![floats, width, floats]
        }
    }
}
