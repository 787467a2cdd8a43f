//! Plans on a device: prepared once, submitted as often as wanted.

use std::sync::Arc;

use godwit_shaders::caps::BINDING_ALIGNMENT;
use godwit_shaders::{BufferRef, Plan, Step};

use super::pipelines::Compiled;
use super::{Gpu, GpuError, GpuMemory};

/// A plan with its pipelines and bindings.
pub struct Prepared {
    gpu: Gpu,
    step: BufferRef,
    launches: Vec<Launch>,
}

struct Launch {
    compiled: Arc<Compiled>,
    bindings: wgpu::BindGroup,
    workgroups: [u32; 3],
}

impl Prepared {
    /// Compiles the plan's kernels and binds its buffers. `step` is the buffer of the [`Step`].
    ///
    /// # Errors
    /// A kernel does not compile, or there is no memory for the parameters.
    pub async fn new(gpu: &Gpu, memory: &GpuMemory, plan: &Plan, step: BufferRef) -> Result<Self, GpuError> {
        let slot = BINDING_ALIGNMENT as usize;
        let mut params = vec![0; plan.dispatches.len() * slot];
        for (slot, dispatch) in params.chunks_exact_mut(slot).zip(&plan.dispatches) {
            slot[..dispatch.params.len()].copy_from_slice(&dispatch.params);
        }
        let device = &gpu.inner.device;
        let uniform = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("params"),
            size: params.len().max(slot) as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        gpu.inner.queue.write_buffer(&uniform, 0, &params);
        let mut launches = Vec::with_capacity(plan.dispatches.len());
        for (i, dispatch) in plan.dispatches.iter().enumerate() {
            let compiled = gpu.compiled(dispatch).await?;
            let bind = |buffer, offset, bytes| {
                wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer,
                    offset,
                    size: wgpu::BufferSize::new(bytes),
                })
            };
            let whole = |of: &BufferRef| bind(memory.buffer(of.id), of.offset, of.bytes);
            let resources = [bind(&uniform, (i * slot) as u64, dispatch.params.len() as u64), whole(&step)]
                .into_iter()
                .chain(dispatch.buffers.iter().map(whole));
            let entries: Vec<_> =
                (0..).zip(resources).map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource }).collect();
            let bindings = device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some(dispatch.kernel.name),
                layout: &compiled.layout,
                entries: &entries,
            });
            launches.push(Launch { compiled, bindings, workgroups: dispatch.workgroups });
        }
        gpu.check()?;
        Ok(Self { gpu: gpu.clone(), step, launches })
    }

    /// Runs the plan for `step`, after all that was submitted before.
    pub fn submit(&self, memory: &GpuMemory, step: Step) {
        memory.write(self.step, 0, bytemuck::bytes_of(&step));
        let mut encoder = self.gpu.inner.device.create_command_encoder(&Default::default());
        {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            for launch in &self.launches {
                pass.set_pipeline(&launch.compiled.pipeline);
                pass.set_bind_group(0, &launch.bindings, &[]);
                let [x, y, z] = launch.workgroups;
                pass.dispatch_workgroups(x, y, z);
            }
        }
        self.gpu.inner.queue.submit([encoder.finish()]);
    }
}
