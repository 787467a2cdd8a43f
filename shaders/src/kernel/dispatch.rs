//! Dispatches of kernels, and the step that a plan's replay is for.

use super::{Cost, Kernel, Variant};
use crate::buffers::BufferRef;
use crate::weights::WeightFormat;

/// One run of a kernel on a grid of workgroups.
#[derive(Clone, Debug)]
pub struct Dispatch {
    /// The kernel.
    pub kernel: &'static Kernel,
    /// The kernel's variant.
    pub variant: &'static Variant,
    /// The weight format, for kernels with weights.
    pub format: Option<WeightFormat>,
    /// Values of the `override` constants.
    pub overrides: Vec<(&'static str, u32)>,
    /// The bytes of the WGSL struct `Params`.
    pub params: Vec<u8>,
    /// A buffer range for each of the kernel's bindings.
    pub buffers: Vec<BufferRef>,
    /// Workgroups in x, y and z.
    pub workgroups: [u32; 3],
}

impl Dispatch {
    /// The parameters as the kernel's struct.
    pub fn params<P: bytemuck::Pod>(&self) -> P {
        bytemuck::pod_read_unaligned(&self.params)
    }

    /// Kernel, variant and weight format as text, such as `matmul.gemv Q4_K`.
    pub fn label(&self) -> String {
        let kernel = self.kernel.name;
        let variant = self.variant.name;
        match self.format {
            Some(format) => format!("{kernel}.{variant} {format}"),
            None => format!("{kernel}.{variant}"),
        }
    }

    /// The least work that the dispatch can do in a step.
    pub fn cost(&self, step: Step) -> Cost {
        (self.kernel.cost)(self, step)
    }
}

/// The values that change from one replay of a plan to the next. A uniform of 16 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Step {
    /// Position of the pass's first token: the number of tokens already in the KV cache. In a
    /// batch, the positions that all of its work items attend to together.
    pub position: u32,
    /// Tokens in this pass.
    pub count: u32,
    /// [Work items](crate::WorkItem) of a batch; else 0.
    pub items: u32,
    /// Rows of a batch whose logits are wanted; else 0.
    pub outputs: u32,
}

impl Step {
    /// A pass over `count` tokens, the first at `position`.
    pub fn new(position: u32, count: u32) -> Self {
        Self {
            position,
            count,
            items: 0,
            outputs: 0,
        }
    }
}
