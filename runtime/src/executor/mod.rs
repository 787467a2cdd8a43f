//! What computes on a GPU for sequences: one KV cache, the activations, and the plans over them.
//!
//! A [`Session`](crate::Session) has an executor for its one sequence, whose pages are consecutive:
//! its plans ([`Pass`]) need no page table. A [`Scheduler`](crate::scheduler::Scheduler) has one
//! for all of its sequences, whose pages are anywhere: its plans are over batches
//! ([`BatchPass`](crate::model::BatchPass)). Both choose tokens in the same way ([`choose`]).

#[cfg(test)]
mod addresses;
pub(crate) mod choose;
mod input_squares;
mod record;

use std::collections::HashMap;
use std::ops::Range;

use godwit_shaders::kernels::matmul::cut_matmuls;
use godwit_shaders::kernels::rope_attention::MAX_SINGLE_PASS_TOKENS;
use godwit_shaders::{BufferRef, Dispatch, Plan, Step};

use crate::engine::{Engine, heads};
use crate::error::Error;
use crate::gpu::{DeviceBuffers, Prepared, Readback};
use crate::kv_cache::KvCache;
use crate::model::{Pass, Scratch, ScratchSize, pass_chunk};
use choose::Choices;

pub(crate) use input_squares::{Input, inputs};
pub(crate) use record::{CHOOSE, Recorder, Work};

/// The GPU's side of a session or of a scheduler.
pub(crate) struct Executor {
    pub engine: Engine,
    /// The engine's weights, and all that is allocated beside them.
    pub buffers: DeviceBuffers,
    pub kv: KvCache,
    pub scratch: Scratch,
    /// How much a pass may have of everything.
    pub size: ScratchSize,
    /// Plans that were recorded and bound, until what they were recorded from changes.
    pub prepared: HashMap<Work, Prepared>,
    /// Seconds that a matmul may be expected to take: longer ones are cut by rows. None: they are
    /// not.
    pub most_dispatch: Option<f64>,
    /// What calibration sums up, once it was asked to.
    pub calibrated: Vec<Input>,
}

impl Executor {
    /// An executor of passes of this size, over a cache that is empty.
    ///
    /// # Errors
    /// The GPU has no memory for the activations.
    pub async fn new(engine: &Engine, kv: KvCache, size: ScratchSize) -> Result<Self, Error> {
        let inner = &engine.inner;
        let (config, caps, llama) = (inner.model.config(), inner.gpu.caps(), &inner.llama);
        let (shape, has_gate_biases) = (heads(config), llama.has_gate_biases());
        let mut buffers = inner.buffers.clone();
        let declare = |table: &mut _| {
            Scratch::declare(table, config, shape, llama.kv, caps, size, has_gate_biases)
        };
        let scratch = buffers.allocate(declare).await?;
        Ok(Self {
            engine: engine.clone(),
            buffers,
            kv,
            scratch,
            size,
            prepared: HashMap::new(),
            most_dispatch: None,
            calibrated: Vec::new(),
        })
    }

    /// Makes room in the KV cache for the token at `position` of the one sequence; the pass for up
    /// to `wanted` tokens from there. `forget_in_flight` is called before what lies behind
    /// `position` goes.
    ///
    /// # Errors
    /// There is no room, neither on the GPU nor on the host.
    pub async fn reserve(
        &mut self,
        position: u32,
        wanted: u32,
        forget_in_flight: &mut impl FnMut(),
    ) -> Result<Pass, Error> {
        let segments = self.reserve_segments(position, forget_in_flight).await?;
        let chunk = pass_chunk(wanted, self.size.chunk);
        let single_pass = chunk == 1 && position < MAX_SINGLE_PASS_TOKENS;
        Ok(Pass {
            chunk,
            segments,
            single_pass,
            as_single_tokens: false,
            outputs: true,
        })
    }

    /// Makes room for a position of the KV cache. Returns how many segments there are up to it.
    ///
    /// # Errors
    /// As [`Executor::reserve`].
    pub async fn reserve_segments(
        &mut self,
        position: u32,
        forget_in_flight: &mut impl FnMut(),
    ) -> Result<usize, Error> {
        let Self {
            kv,
            buffers,
            prepared,
            ..
        } = self;
        let forget_plans = &mut || prepared.clear();
        Ok(kv
            .reserve(buffers, position, forget_plans, forget_in_flight)
            .await?)
    }

    /// The plan of some work, ready to be submitted.
    ///
    /// # Errors
    /// A kernel does not compile, or there is no memory for the parameters.
    pub async fn prepare(&mut self, work: Work) -> Result<&Prepared, Error> {
        if !self.prepared.contains_key(&work) {
            if let Some(segments) = work.segments() {
                // Plans over fewer segments won't come again, but after a truncation.
                self.prepared
                    .retain(|old, _| old.segments().is_none_or(|old| old == segments));
            }
            let mut plan = self.record(work);
            if let Some(most) = self.most_dispatch {
                plan = cut_matmuls(plan, |dispatch| self.parts(work, dispatch, most));
            }
            let (gpu, memory) = (self.engine.gpu(), self.buffers.memory());
            let prepared = Prepared::new(gpu, memory, &plan, self.scratch.step).await?;
            return Ok(self.prepared.entry(work).or_insert(prepared));
        }
        Ok(&self.prepared[&work])
    }

    /// Into how many parts a dispatch is to be cut so that none takes longer than `most` seconds,
    /// even on a slow device.
    fn parts(&self, work: Work, dispatch: &Dispatch, most: f64) -> u32 {
        let count = match work {
            Work::Batch(pass) => pass.rows,
            Work::BatchLogits { outputs, .. } => outputs,
            _ => return 1,
        };
        let cost = dispatch.cost(Step::new(0, count));
        (self.engine.gpu().nominal_seconds(cost) / most).ceil() as u32
    }

    /// Whether a step has no more of anything than its plan is for, and ends in the segments that
    /// the plan reads. Kernels that run unchecked rely on it.
    pub fn stays_inside(&self, work: Work, step: Step) -> bool {
        let segments = self.kv.segments();
        match work {
            Work::Transformer(pass) | Work::Decode(pass) | Work::Calibrate(pass) => {
                let end = step.position.checked_add(step.count);
                let most = segments
                    .end_of(pass.segments - 1)
                    .min(self.engine.context());
                (1..=pass.chunk).contains(&step.count) && end.is_some_and(|end| end <= most)
            }
            Work::Logits | Work::Outputs | Work::Scores { .. } => {
                (1..=self.size.chunk).contains(&step.count)
            }
            Work::Batch(pass) => {
                (1..=pass.rows).contains(&step.count)
                    && step.items <= pass.items
                    && step.outputs <= pass.outputs
            }
            Work::BatchLogits { outputs, .. } => {
                (1..=outputs).contains(&step.count) && step.outputs <= outputs
            }
            Work::Choose { rows, .. } => step.outputs <= rows,
        }
    }

    /// Kernels run without checks: see `gpu/pipelines.rs`.
    fn check(&self, work: Work, step: Step) {
        assert!(
            self.stays_inside(work, step),
            "{step:?} leaves the plan of {work:?}"
        );
    }

    /// Runs some work. What its plan reads from the host comes meanwhile.
    ///
    /// # Errors
    /// As [`Executor::prepare`], what is on the host can't be read, or the device fails.
    pub async fn submit(&mut self, work: Work, step: Step) -> Result<(), Error> {
        self.check(work, step);
        self.prepare(work).await?;
        let (prepared, memory) = (&self.prepared[&work], self.buffers.memory());
        match prepared.has_uploads() {
            true => {
                let host = |allocation, from, into: &mut [u8]| {
                    Ok::<_, Error>(self.kv.read_spilled(allocation, from, into)?)
                };
                prepared.stream(memory, step, host).await
            }
            false => Ok(prepared.submit(memory, step).await?),
        }
    }

    /// Runs a choice after [`Executor::write_choices`], and reads the tokens: as many as the step
    /// has outputs, from entry `first` of the chosen ones on.
    ///
    /// # Errors
    /// As [`Executor::prepare`], or the device fails.
    pub async fn choose(&mut self, work: Work, step: Step, first: u32) -> Result<Readback, Error> {
        self.check(work, step);
        self.prepare(work).await?;
        let chosen = self.chosen(first, step.outputs);
        let (prepared, memory) = (&self.prepared[&work], self.buffers.memory());
        Ok(prepared.submit_and_read(memory, step, chosen).await?)
    }

    /// Some of the chosen tokens, from entry `first` on.
    pub fn chosen(&self, first: u32, count: u32) -> BufferRef {
        let all = self.scratch.chosen;
        let chosen = BufferRef {
            offset: all.offset + 4 * u64::from(first),
            bytes: 4 * u64::from(count),
            ..all
        };
        assert!(
            chosen.offset + chosen.bytes <= all.offset + all.bytes,
            "more tokens are chosen than their buffer holds"
        );
        chosen
    }

    /// Runs some of a plan's dispatches, in one submission. A timestamp is written before them
    /// where a query set is given.
    ///
    /// # Errors
    /// As [`Executor::prepare`], or the device fails.
    pub async fn submit_part(
        &mut self,
        work: Work,
        step: Step,
        part: Range<usize>,
        timestamp: Option<&wgpu::QuerySet>,
    ) -> Result<(), Error> {
        self.check(work, step);
        self.prepare(work).await?;
        let (prepared, memory) = (&self.prepared[&work], self.buffers.memory());
        Ok(prepared.submit_part(memory, step, part, timestamp).await?)
    }

    /// Tells the GPU how tokens are to be chosen.
    ///
    /// # Errors
    /// The device fails.
    pub async fn write_choices(&self, choices: &Choices) -> Result<(), Error> {
        let (memory, s) = (self.buffers.memory(), &self.scratch);
        assert!(
            choices.adjustments.len() <= self.size.adjustments as usize
                && choices.choices.len() <= self.size.outputs as usize,
            "more choices than their buffers hold"
        );
        let bytes = bytemuck::cast_slice(&choices.choices);
        memory.write(s.choice, 0, bytes).await?;
        if !choices.adjustments.is_empty() {
            let bytes = bytemuck::cast_slice(&choices.adjustments);
            memory.write(s.adjustments, 0, bytes).await?;
        }
        Ok(())
    }

    /// The plan of some work.
    pub fn record(&self, work: Work) -> Plan {
        let inner = &self.engine.inner;
        let recorder = Recorder {
            llama: &inner.llama,
            caps: inner.gpu.caps(),
            kv: self.kv.segments(),
            scratch: &self.scratch,
            calibrated: &self.calibrated,
            chunk: self.size.chunk,
        };
        recorder.record(work)
    }
}
