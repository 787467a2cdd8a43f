//! The GPU's side of a scheduler: the pool of pages, the buffers of a pass, plans, and what is on
//! its way back.

use std::collections::VecDeque;

use godwit_shaders::kernels::attention::RowClass;
use godwit_shaders::{BufferRef, PAGE, Step};

use super::batch::{Batch, Spans};
use super::choose::{Wanted, choices_of};
use super::host::HostPages;
use super::in_flight::{InFlight, OutputRows};
use super::plan::Chunk;
use super::request::RequestId;
use crate::engine::{Engine, heads};
use crate::error::Error;
use crate::executor::choose::{Choices, RowChoice};
use crate::executor::{Executor, Work};
use crate::gpu::{Readback, Slices};
use crate::kv_cache::{KvCache, KvSegments, Spilling};
use crate::model::{BatchPass, LOG_PROBS, ScratchSize};

pub(super) struct Device {
    pub(super) executor: Executor,
    pub(super) host: HostPages,
    pub(super) deterministic: bool,
    /// Whether passes have few sizes, so that all of their plans can be prepared ahead.
    pub(super) has_fixed_passes: bool,
}

/// A pass over chunks that is submitted in parts.
pub(super) struct QueuedPass {
    pub chunks: Vec<Chunk>,
    batch: Batch,
    rows: Vec<OutputRows>,
    choices: Choices,
    /// The entry of the first token that it chooses.
    first_chosen: u32,
    /// Plans in order, the transformer's first; then those for logits and choice, if any.
    works: Vec<(Work, Step)>,
    /// The plan that comes next, and how much of it was submitted.
    work: usize,
    dispatch: usize,
}

impl Device {
    /// A pool of at most `pages` pages, and the buffers of passes of this size.
    pub async fn new(
        engine: &Engine,
        pages: u32,
        size: ScratchSize,
        deterministic: bool,
    ) -> Result<Self, Error> {
        let inner = &engine.inner;
        let (config, caps) = (inner.model.config(), inner.gpu.caps());
        let slots = pages.saturating_mul(PAGE);
        let (heads, kv) = (heads(config), inner.llama.kv);
        let segments = KvSegments::new(heads, kv, config.layers, slots, inner.segment_tokens, caps);
        let kv = KvCache::new(segments, Spilling::Never, None);
        Ok(Self {
            executor: Executor::new(engine, kv, size).await?,
            host: HostPages::default(),
            deterministic,
            has_fixed_passes: false,
        })
    }

    /// The expected time of a prompt's pass of so many tokens, which attend to `attended`
    /// positions; none where no pass of that size was prepared yet.
    pub fn prompt_seconds(&self, tokens: u32, attended: u32) -> Option<f64> {
        let of_prompts = self
            .executor
            .prepared
            .iter()
            .filter_map(|(work, prepared)| match work {
                Work::Batch(pass) if pass.class == RowClass::Prompt => Some((pass.rows, prepared)),
                _ => None,
            });
        let (_, least) = of_prompts
            .filter(|&(rows, _)| rows == bucket(tokens).min(self.executor.size.chunk))
            .min_by_key(|&(rows, _)| rows)?;
        let step = Step {
            position: attended,
            count: tokens,
            items: 1,
            outputs: 0,
        };
        Some(least.expected_seconds(step))
    }

    /// Forgets the pages on the host: nobody asks for them any more.
    pub fn forget_host_pages(&mut self) {
        self.host = HostPages::default();
    }

    /// Passes over chunks, as many as their size asks for, which choose the tokens that are wanted.
    /// Their plans are prepared, and nothing is submitted.
    ///
    /// # Errors
    /// There is no memory.
    pub async fn queue(
        &mut self,
        chunks: &[Chunk],
        class: RowClass,
        choices: &impl Fn(RequestId) -> Option<Wanted>,
    ) -> Result<Vec<QueuedPass>, Error> {
        let caps = self.executor.engine.gpu().caps();
        let spans = match (class, caps.cpu) {
            (RowClass::Decode, false) => Spans::Split,
            _ => Spans::Whole,
        };
        let mut passes = Vec::new();
        let mut rest: VecDeque<Chunk> = chunks.iter().cloned().collect();
        while !rest.is_empty() {
            let mut batch = Batch::default();
            let mut together: Vec<Chunk> = Vec::new();
            while let Some(chunk) = rest.pop_front() {
                let mut longer = batch.clone();
                longer.push(&chunk, spans, self.executor.kv.segments());
                together.push(chunk);
                if self.holds(&longer, &together, choices) {
                    batch = longer;
                    continue;
                }
                rest.extend(together.pop());
                rest.rotate_right(1);
                break;
            }
            if together.is_empty() {
                // Not even one chunk fits: its pages lie in many segments.
                let halves = rest.pop_front().and_then(Chunk::halves);
                let [first, second] = halves.ok_or(Error::Fragmented)?;
                rest.push_front(second);
                rest.push_front(first);
                continue;
            }
            passes.push(self.queue_pass(together, batch, class, choices).await?);
        }
        Ok(passes)
    }

    /// Whether the buffers hold a batch of these chunks, and the adjustments of their logits.
    fn holds(
        &self,
        batch: &Batch,
        chunks: &[Chunk],
        choices: &impl Fn(RequestId) -> Option<Wanted>,
    ) -> bool {
        let vocab = self.executor.engine.model().config().vocab as usize;
        let adjustments = chunks
            .iter()
            .filter(|chunk| chunk.outputs > 0)
            .filter_map(|chunk| Some((chunk.outputs, choices(chunk.request)?)))
            .map(|(outputs, wanted)| outputs * wanted.most_adjustments(outputs, vocab))
            .sum::<usize>();
        self.has_room(batch) && adjustments <= self.executor.size.adjustments as usize
    }

    /// The pass over a batch, of a size for which there is a plan.
    pub(super) fn pass_of(&self, batch: &Batch, class: RowClass) -> BatchPass {
        let (engine, size) = (&self.executor.engine, self.executor.size);
        let head_dim = heads(engine.model().config()).head_dim;
        let [_, v_block] = engine.kv_format().blocks(head_dim);
        let rows = bucket(batch.rows.len() as u32).min(size.chunk);
        let is_prompt = self.has_fixed_passes && class == RowClass::Prompt;
        let (rows, item_tokens) = match is_prompt {
            true => (size.chunk, size.chunk),
            false => (rows, bucket(batch.item_tokens).min(size.chunk)),
        };
        BatchPass {
            rows,
            items: bucket(batch.items.len() as u32).min(size.batch.unwrap_or_default().items),
            item_tokens,
            segments: self.executor.kv.segments().segments_to(u32::MAX),
            class,
            direct: engine.gpu().caps().cpu && v_block == 1 && batch.is_direct(),
            deterministic: self.deterministic,
            outputs: match batch.outputs.is_empty() {
                true => 0,
                false => size.outputs,
            },
        }
    }

    /// One pass, and the choice of the tokens that its outputs are for.
    async fn queue_pass(
        &mut self,
        chunks: Vec<Chunk>,
        batch: Batch,
        class: RowClass,
        choices: &impl Fn(RequestId) -> Option<Wanted>,
    ) -> Result<QueuedPass, Error> {
        let (count, outputs) = (batch.rows.len() as u32, batch.outputs.len() as u32);
        let pass = Work::Batch(self.pass_of(&batch, class));
        let (mut rows, mut wanted) = (Vec::new(), Vec::new());
        let first_chosen = chunks.iter().find(|chunk| chunk.outputs > 0);
        let first_chosen = first_chosen.map_or(0, |chunk| chunk.chosen);
        for chunk in chunks.iter().filter(|chunk| chunk.outputs > 0) {
            let of_request = choices(chunk.request).unwrap_or_default();
            rows.push(OutputRows {
                request: chunk.request,
                count: chunk.outputs,
                log_probs: of_request.log_probs,
            });
            // Each row sees one guess more.
            let guesses = &chunk.tokens[chunk.tokens.len() + 1 - chunk.outputs..];
            wanted.extend((0..chunk.outputs).map(|row| Wanted {
                recent: [&of_request.recent, &guesses[..row]].concat(),
                position: of_request.position + row as u64,
                ..of_request.clone()
            }));
        }
        let choices = choices_of(first_chosen, &wanted);
        let step = Step {
            position: u32::try_from(batch.attended).unwrap_or(u32::MAX),
            count,
            items: batch.items.len() as u32,
            outputs,
        };
        let mut works = vec![(pass, step)];
        if outputs > 0 {
            let of_outputs = Step {
                position: 0,
                count: outputs,
                items: 0,
                outputs,
            };
            let logits = self.logits_of(outputs);
            let choose = self.choose_of(outputs, choices.how);
            works.extend([(logits, of_outputs), (choose, of_outputs)]);
        }
        // All are prepared before anything is submitted: a lack of memory changes nothing.
        for &(work, _) in &works {
            self.executor.prepare(work).await?;
        }
        self.check(&batch);
        Ok(QueuedPass {
            chunks,
            batch,
            rows,
            choices,
            first_chosen,
            works,
            work: 0,
            dispatch: 0,
        })
    }

    /// The plan for the logits of so many rows.
    pub(super) fn logits_of(&self, outputs: u32) -> Work {
        Work::BatchLogits {
            outputs: bucket(outputs).min(self.executor.size.outputs),
            deterministic: self.deterministic,
        }
    }

    /// The plan for the choice of a token for each of so many rows.
    pub(super) fn choose_of(&self, outputs: u32, how: RowChoice) -> Work {
        let rows = bucket(outputs).min(self.executor.size.outputs);
        Work::Choose { rows, how }
    }

    /// Submits a whole pass.
    ///
    /// # Errors
    /// There is no memory, or the device fails.
    pub async fn run(&mut self, pass: QueuedPass) -> Result<InFlight, Error> {
        self.write(&pass.batch).await?;
        let last = pass.works.len() - 1;
        for (i, &(work, step)) in pass.works.iter().enumerate() {
            if i == 0 || i < last {
                self.executor.submit(work, step).await?;
                continue;
            }
            self.executor.write_choices(&pass.choices).await?;
            let chosen = self.executor.choose(work, step, pass.first_chosen).await?;
            let log_probs = self.read_log_probs(&pass).await?;
            return Ok(InFlight::new(pass.rows, chosen, log_probs));
        }
        self.read_nothing().await
    }

    /// Submits what fits into a slice of the rest of a pass. Returns the pass in flight once all of
    /// it is submitted.
    ///
    /// # Errors
    /// There is no memory, or the device fails.
    pub async fn run_part(
        &mut self,
        pass: &mut QueuedPass,
        slices: &mut Slices,
    ) -> Result<Option<InFlight>, Error> {
        while let Some(&(work, step)) = pass.works.get(pass.work) {
            let prepared = self.executor.prepare(work).await?;
            let is_first = slices.is_empty();
            let end = slices.fit(prepared, pass.dispatch, step);
            let is_whole = end == prepared.len();
            if end == pass.dispatch && !is_whole {
                return Ok(None);
            }
            if pass.work == 0 && pass.dispatch == 0 {
                self.write(&pass.batch).await?;
            }
            if pass.work > 0 && pass.work + 1 == pass.works.len() && pass.dispatch == 0 {
                self.executor.write_choices(&pass.choices).await?;
            }
            let timestamp = slices.first_timestamp(is_first);
            let part = pass.dispatch..end;
            self.executor
                .submit_part(work, step, part, timestamp)
                .await?;
            if !is_whole {
                pass.dispatch = end;
                return Ok(None);
            }
            (pass.work, pass.dispatch) = (pass.work + 1, 0);
        }
        let outputs = pass.batch.outputs.len() as u32;
        if outputs == 0 {
            return self.read_nothing().await.map(Some);
        }
        let memory = self.executor.buffers.memory();
        let chosen = memory
            .start_read(self.executor.chosen(pass.first_chosen, outputs))
            .await?;
        let log_probs = self.read_log_probs(pass).await?;
        let rows = std::mem::take(&mut pass.rows);
        Ok(Some(InFlight::new(rows, chosen, log_probs)))
    }

    /// A pass in flight that chooses nothing. Something is read all the same, so that the host
    /// knows when the pass is done.
    async fn read_nothing(&self) -> Result<InFlight, Error> {
        let word = self.executor.chosen(0, 1);
        let read = self.executor.buffers.memory().start_read(word).await?;
        Ok(InFlight::new(Vec::new(), read, None))
    }

    async fn read_log_probs(&self, pass: &QueuedPass) -> Result<Option<Readback>, Error> {
        let Some(buffers) = self.executor.scratch.batch.as_ref() else {
            return Ok(None);
        };
        if !pass.choices.how.log_probs {
            return Ok(None);
        }
        let from = BufferRef {
            bytes: pass.batch.outputs.len() as u64 * LOG_PROBS as u64,
            ..buffers.log_probs
        };
        let memory = self.executor.buffers.memory();
        Ok(Some(memory.start_read(from).await?))
    }

    /// Tells the GPU what a batch consists of.
    async fn write(&self, batch: &Batch) -> Result<(), Error> {
        let (memory, s) = (self.executor.buffers.memory(), &self.executor.scratch);
        let Some(to) = &s.batch else {
            return Ok(());
        };
        let written: [(BufferRef, &[u8]); 5] = [
            (s.tokens, bytemuck::cast_slice(&batch.tokens)),
            (to.rows, bytemuck::cast_slice(&batch.rows)),
            (to.items, bytemuck::cast_slice(&batch.items)),
            (to.pages, bytemuck::cast_slice(&batch.pages)),
            (to.outputs, bytemuck::cast_slice(&batch.outputs)),
        ];
        for (to, bytes) in written {
            memory.write(to, 0, bytes).await?;
        }
        Ok(())
    }
}

/// Plans are made for a few sizes only.
pub(super) fn bucket(count: u32) -> u32 {
    count.max(1).next_power_of_two()
}
