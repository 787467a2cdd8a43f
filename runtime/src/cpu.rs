//! Plans on the CPU, by the kernels' references: slow, in f64, for finding which kernel of a plan
//! is wrong.

use godwit_shaders::{Access, BufferRef, Buffers, DispatchFixture, Plan, Step};

/// Buffers in the CPU's memory, in the order of a [`Buffers`] table.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    buffers: Vec<Vec<u32>>,
}

impl Memory {
    /// Allocates what `table` has and this doesn't, filled with zeros.
    pub fn allocate(&mut self, table: &Buffers) {
        for id in self.buffers.len()..table.len() {
            let bytes = table.get(id as u32).map_or(0, |(_, bytes)| bytes);
            self.buffers.push(vec![0; bytes as usize / 4]);
        }
    }

    /// The words of part of a buffer.
    pub fn words(&self, part: BufferRef) -> &[u32] {
        &self.buffers[part.id as usize][part.offset as usize / 4..][..part.bytes as usize / 4]
    }

    /// The same, to be written.
    pub fn words_mut(&mut self, part: BufferRef) -> &mut [u32] {
        &mut self.buffers[part.id as usize][part.offset as usize / 4..][..part.bytes as usize / 4]
    }

    /// Runs the plan for `step`.
    pub fn run(&mut self, plan: &Plan, step: Step) {
        for dispatch in &plan.dispatches {
            let mut fixture = DispatchFixture {
                params: dispatch.params.clone(),
                step,
                format: dispatch.format,
                buffers: dispatch
                    .buffers
                    .iter()
                    .map(|&part| self.words(part).to_vec())
                    .collect(),
                workgroups: dispatch.workgroups,
            };
            (dispatch.kernel.reference)(&mut fixture);
            for ((binding, part), words) in dispatch
                .kernel
                .bindings
                .iter()
                .zip(&dispatch.buffers)
                .zip(&fixture.buffers)
            {
                if binding.access == Access::Write {
                    self.words_mut(*part).copy_from_slice(words);
                }
            }
        }
    }
}
