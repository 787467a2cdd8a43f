//! Test cases of kernels, and the memory that references compute on.

use super::{Dispatch, Kernel, Step};
use crate::buffers::BufferRef;
use crate::weights::WeightFormat;

/// A dispatch in host memory: parameters, step, and the words of each storage buffer.
#[derive(Clone, Debug)]
pub struct DispatchFixture {
    /// The kernel's parameters.
    pub params: Vec<u8>,
    /// The step.
    pub step: Step,
    /// The weight format, for kernels with weights.
    pub format: Option<WeightFormat>,
    /// The storage buffers, as 32-bit words.
    pub buffers: Vec<Vec<u32>>,
    /// The dispatch's workgroups. The references of attention read the number of KV splits here.
    pub workgroups: [u32; 3],
}

impl DispatchFixture {
    /// The parameters as the kernel's struct.
    pub fn params<P: bytemuck::Pod>(&self) -> P {
        bytemuck::pod_read_unaligned(&self.params)
    }

    /// Buffer `index` as floats.
    pub fn floats(&self, index: usize) -> &[f32] {
        bytemuck::cast_slice(&self.buffers[index])
    }

    /// Buffer `index` as floats, mutable.
    pub fn floats_mut(&mut self, index: usize) -> &mut [f32] {
        bytemuck::cast_slice_mut(&mut self.buffers[index])
    }
}

/// A dispatch that is tested against the kernel's reference and timed.
#[derive(Clone, Debug)]
pub struct Case {
    /// The property that the case tests, such as a shape.
    pub name: String,
    /// Index into [`Kernel::variants`].
    pub variant: usize,
    /// Values of the `override` constants.
    pub overrides: Vec<(&'static str, u32)>,
    /// Inputs, and the contents of outputs before the dispatch.
    pub fixture: DispatchFixture,
    /// Largest normalised mean square error of each output: `sum (a-b)^2 / sum b^2`.
    pub nmse: f64,
}

impl Case {
    /// The case as a dispatch of its kernel on `buffers`.
    pub fn dispatch(&self, kernel: &'static Kernel, buffers: Vec<BufferRef>) -> Dispatch {
        Dispatch {
            kernel,
            variant: &kernel.variants[self.variant],
            format: self.fixture.format,
            overrides: self.overrides.clone(),
            params: self.fixture.params.clone(),
            buffers,
            workgroups: self.fixture.workgroups,
        }
    }
}
