//! Plans on a device: prepared once, submitted as often as wanted.

use std::ops::Range;
use std::sync::Arc;

use godwit_shaders::capabilities::BINDING_ALIGNMENT;
use godwit_shaders::{BufferRef, Cost, Dispatch, Plan, Step, Upload};
use web_time::Instant;

use super::pipelines::Compiled;
use super::{Gpu, GpuError, GpuMemory, Readback};

/// Bytes on their way to the GPU before they are waited for.
const IN_FLIGHT: u64 = 64 << 20;

/// A plan with its pipelines and bindings.
pub struct Prepared {
    gpu: Gpu,
    step: BufferRef,
    dispatches: Vec<PreparedDispatch>,
    uploads: Vec<Upload>,
}

/// A dispatch, ready to run.
pub(super) struct PreparedDispatch {
    pub dispatch: Dispatch,
    /// Whether its plan begins with it.
    pub is_first: bool,
    compiled: Arc<Compiled>,
    bindings: wgpu::BindGroup,
}

impl PreparedDispatch {
    pub fn encode(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_pipeline(&self.compiled.pipeline);
        pass.set_bind_group(0, &self.bindings, &[]);
        let [x, y, z] = self.dispatch.workgroups;
        pass.dispatch_workgroups(x, y, z);
    }
}

impl Prepared {
    /// Compiles the plan's kernels and binds its buffers. `step` is the buffer of the [`Step`].
    ///
    /// # Errors
    /// A kernel does not compile, or there is no memory for the parameters.
    pub async fn new(
        gpu: &Gpu,
        memory: &GpuMemory,
        plan: &Plan,
        step: BufferRef,
    ) -> Result<Self, GpuError> {
        #[cfg(test)]
        crate::interrupt::at_allocation().await?;
        let slot = BINDING_ALIGNMENT as usize;
        let mut params = vec![0; plan.dispatches.len() * slot];
        for (slot, dispatch) in params.chunks_exact_mut(slot).zip(&plan.dispatches) {
            slot[..dispatch.params.len()].copy_from_slice(&dispatch.params);
        }
        let size = params.len().max(slot) as u64;
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let uniform = gpu
            .create_buffer("the parameters of a plan", size, usage)
            .await?;
        gpu.inner.uploads.write(gpu, &uniform, 0, &params).await?;
        let compiled = gpu.compiled(&plan.dispatches).await?;
        let dispatches = gpu.allocate("the bindings of a plan", 0, |device| {
            let all = plan.dispatches.iter().zip(compiled).enumerate();
            all.map(|(i, (dispatch, compiled))| {
                let params = (&uniform, (i * slot) as u64, dispatch.params.len() as u64);
                let whole = |of: &BufferRef| {
                    Ok::<_, GpuError>((memory.buffer(of.id)?, of.offset, of.bytes))
                };
                let mut bound = vec![params, whole(&step)?];
                for buffer in &dispatch.buffers {
                    bound.push(whole(buffer)?);
                }
                let bind = |(binding, (buffer, offset, bytes))| {
                    let size = wgpu::BufferSize::new(bytes);
                    let resource = wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                        buffer,
                        offset,
                        size,
                    });
                    wgpu::BindGroupEntry { binding, resource }
                };
                let entries: Vec<_> = (0..).zip(bound).map(bind).collect();
                let bindings = device.create_bind_group(&wgpu::BindGroupDescriptor {
                    label: Some(dispatch.kernel.name),
                    layout: &compiled.layout,
                    entries: &entries,
                });
                Ok(PreparedDispatch {
                    dispatch: dispatch.clone(),
                    is_first: i == 0,
                    compiled,
                    bindings,
                })
            })
            .collect::<Result<Vec<_>, GpuError>>()
        });
        let dispatches = dispatches.await??;
        gpu.check()?;
        Ok(Self {
            gpu: gpu.clone(),
            step,
            dispatches,
            uploads: plan.uploads.clone(),
        })
    }

    /// Whether the plan reads from the host: then [`Prepared::stream`] runs it.
    pub fn has_uploads(&self) -> bool {
        !self.uploads.is_empty()
    }

    /// Runs a plan that reads from the host. `host` fills bytes of a piece, from an offset on.
    ///
    /// # Errors
    /// The device fails, or `host` does.
    pub async fn stream<E: From<GpuError>>(
        &self,
        memory: &GpuMemory,
        step: Step,
        host: impl Fn(u32, u64, &mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        memory
            .write(self.step, 0, bytemuck::bytes_of(&step))
            .await?;
        let (mut done, mut in_flight, mut bytes) = (0, 0, Vec::new());
        for upload in &self.uploads {
            // Earlier work may still read the target; the queue keeps the order.
            self.encode(done..upload.before, step).await?;
            done = upload.before;
            let mut from = 0;
            for to in upload.to {
                bytes.resize(to.bytes as usize, 0);
                host(upload.host, from, &mut bytes)?;
                memory.write(to, 0, &bytes).await?;
                from += to.bytes;
                in_flight += to.bytes;
            }
            #[cfg(test)]
            crate::interrupt::at_wait().await?;
            // Each write is a copy on its way; they don't pile up.
            if in_flight >= IN_FLIGHT {
                self.gpu.finish().await?;
                in_flight = 0;
            }
        }
        Ok(self.encode(done..self.dispatches.len(), step).await?)
    }

    /// Runs the plan for `step`, after all that was submitted before.
    ///
    /// # Errors
    /// There is no memory to write the step through; then nothing runs.
    pub async fn submit(&self, memory: &GpuMemory, step: Step) -> Result<(), GpuError> {
        memory
            .write(self.step, 0, bytemuck::bytes_of(&step))
            .await?;
        self.encode(0..self.dispatches.len(), step).await
    }

    /// [`Prepared::submit`], and copies `from` to where the CPU can read it, with the same
    /// submission.
    ///
    /// # Errors
    /// There is no memory to read through.
    pub async fn submit_and_read(
        &self,
        memory: &GpuMemory,
        step: Step,
        from: BufferRef,
    ) -> Result<Readback, GpuError> {
        let staging = memory.staging(from.bytes).await?;
        memory
            .write(self.step, 0, bytemuck::bytes_of(&step))
            .await?;
        let source = memory.buffer(from.id)?;
        let submission = self.encode_with(0..self.dispatches.len(), step, |encoder| {
            encoder.copy_buffer_to_buffer(source, from.offset, &staging, 0, from.bytes);
        });
        let submission = submission.await?;
        Ok(memory.readback(staging, from.bytes, submission))
    }

    /// The number of dispatches.
    pub(crate) fn len(&self) -> usize {
        self.dispatches.len()
    }

    /// The dispatches from one on, with their cost in a step, and the seconds that it takes on a
    /// device of which nothing is known.
    pub(super) fn nominal_from(
        &self,
        from: usize,
        step: Step,
    ) -> impl Iterator<Item = (&Dispatch, Cost, f64)> {
        self.dispatches[from..].iter().map(move |prepared| {
            let cost = prepared.dispatch.cost(step);
            let nominal = self.gpu.inner.submissions.nominal(cost);
            (&prepared.dispatch, cost, nominal)
        })
    }

    /// Runs some of the plan's dispatches for `step`, in one submission. A timestamp is written
    /// before them where a query set is given.
    ///
    /// # Errors
    /// As [`Prepared::submit`].
    pub(crate) async fn submit_part(
        &self,
        memory: &GpuMemory,
        step: Step,
        part: Range<usize>,
        timestamp: Option<&wgpu::QuerySet>,
    ) -> Result<(), GpuError> {
        let (begin, count) = (Instant::now(), part.len());
        memory
            .write(self.step, 0, bytemuck::bytes_of(&step))
            .await?;
        let mut encoder = self
            .gpu
            .inner
            .device
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        {
            let timestamp_writes = timestamp.map(|query_set| wgpu::ComputePassTimestampWrites {
                query_set,
                beginning_of_pass_write_index: Some(0),
                end_of_pass_write_index: None,
            });
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: None,
                timestamp_writes,
            });
            for prepared in &self.dispatches[part] {
                prepared.encode(&mut pass);
            }
        }
        self.gpu.submit(Some(encoder));
        self.gpu.inner.profiler.count(count, begin.elapsed());
        Ok(())
    }

    /// How many of `most` tokens from `position` on a pass may have so that no dispatch takes
    /// longer than a submission may.
    pub fn tokens(&self, position: u32, most: u32) -> u32 {
        let work = |step| {
            self.dispatches
                .iter()
                .map(|prepared| prepared.dispatch.cost(step))
                .collect()
        };
        self.gpu.inner.submissions.tokens(work, position, most)
    }

    /// The plan's expected time on the GPU.
    pub fn expected_seconds(&self, step: Step) -> f64 {
        self.gpu.inner.submissions.seconds(
            self.dispatches
                .iter()
                .map(|prepared| prepared.dispatch.cost(step)),
            step,
        )
    }

    /// Submits dispatches, in as many parts as the budget of a submission asks for.
    async fn encode(&self, dispatches: Range<usize>, step: Step) -> Result<(), GpuError> {
        self.encode_with(dispatches, step, |_| ()).await.map(drop)
    }

    /// The same, and whatever `after` encodes behind the last one.
    ///
    /// # Errors
    /// A profile is taken, and there is no memory for it.
    async fn encode_with(
        &self,
        dispatches: Range<usize>,
        step: Step,
        after: impl FnOnce(&mut wgpu::CommandEncoder),
    ) -> Result<wgpu::SubmissionIndex, GpuError> {
        let (mut begin, gpu, mut first) = (Instant::now(), &self.gpu.inner, dispatches.start);
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        let work = self.dispatches[dispatches.clone()]
            .iter()
            .map(|prepared| prepared.dispatch.cost(step));
        for end in gpu.submissions.cut(work, step) {
            let end = dispatches.start + end;
            gpu.profiler
                .encode(&self.gpu, &mut encoder, &self.dispatches[first..end], step)
                .await?;
            if end < dispatches.end {
                let next = gpu.device.create_command_encoder(&Default::default());
                self.gpu.submit(Some(std::mem::replace(&mut encoder, next)));
                gpu.profiler.count(end - first, begin.elapsed());
                (begin, first) = (Instant::now(), end);
            }
        }
        after(&mut encoder);
        let submission = self.gpu.submit(Some(encoder));
        gpu.profiler.count(dispatches.end - first, begin.elapsed());
        Ok(submission)
    }
}
