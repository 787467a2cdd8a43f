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
use crate::executor::{Executor, Work};
use crate::kv_cache::{KvCache, KvSegments, Spilling};
use crate::model::{BatchPass, LOG_PROBS, ScratchSize};

pub(super) struct Device {
    pub(super) executor: Executor,
    pub(super) host: HostPages,
    pub(super) deterministic: bool,
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

    /// Computes chunks, in as many passes as their size asks for, and chooses the tokens that are
    /// wanted.
    ///
    /// # Errors
    /// There is no memory, or the device fails.
    pub async fn compute(
        &mut self,
        chunks: &[Chunk],
        class: RowClass,
        choices: &impl Fn(RequestId) -> Option<Wanted>,
    ) -> Result<Vec<InFlight>, Error> {
        let caps = self.executor.engine.gpu().caps();
        let spans = match (class, caps.cpu) {
            (RowClass::Decode, false) => Spans::Split,
            _ => Spans::Whole,
        };
        let mut in_flight = Vec::new();
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
            in_flight.push(self.pass(&together, &batch, class, choices).await?);
        }
        Ok(in_flight)
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

    /// One pass, and the choice of the tokens that its outputs are for.
    async fn pass(
        &mut self,
        chunks: &[Chunk],
        batch: &Batch,
        class: RowClass,
        choices: &impl Fn(RequestId) -> Option<Wanted>,
    ) -> Result<InFlight, Error> {
        let (count, outputs) = (batch.rows.len() as u32, batch.outputs.len() as u32);
        let (engine, size) = (&self.executor.engine, self.executor.size);
        let head_dim = heads(engine.model().config()).head_dim;
        let [_, v_block] = engine.kv_format().blocks(head_dim);
        let pass = BatchPass {
            rows: bucket(count).min(size.chunk),
            items: bucket(batch.items.len() as u32).min(size.batch.unwrap_or_default().items),
            item_tokens: bucket(batch.item_tokens).min(size.chunk),
            segments: self.executor.kv.segments().segments_to(u32::MAX),
            class,
            direct: engine.gpu().caps().cpu && v_block == 1 && batch.is_direct(),
            deterministic: self.deterministic,
            outputs: if outputs > 0 { size.outputs } else { 0 },
        };
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
        let bucketed = bucket(outputs.max(1)).min(size.outputs);
        let pass = Work::Batch(pass);
        let logits = Work::BatchLogits {
            outputs: bucketed,
            deterministic: self.deterministic,
        };
        let choose = Work::Choose {
            rows: bucketed,
            how: choices.how,
        };
        // All are prepared before anything is submitted: a lack of memory changes nothing.
        self.executor.prepare(pass).await?;
        if outputs > 0 {
            self.executor.prepare(logits).await?;
            self.executor.prepare(choose).await?;
        }
        self.check(batch);
        self.write(batch).await?;
        let step = Step {
            position: u32::try_from(batch.attended).unwrap_or(u32::MAX),
            count,
            items: batch.items.len() as u32,
            outputs,
        };
        self.executor.submit(pass, step).await?;
        let memory = self.executor.buffers.memory();
        if outputs == 0 {
            // Something is read all the same, so that the host knows when the pass is done.
            let word = BufferRef {
                bytes: 4,
                ..self.executor.scratch.chosen
            };
            let chosen = memory.start_read(word).await?;
            return Ok(InFlight::new(Vec::new(), chosen, None));
        }
        self.executor.write_choices(&choices).await?;
        let of_outputs = Step {
            position: 0,
            count: outputs,
            items: 0,
            outputs,
        };
        self.executor.submit(logits, of_outputs).await?;
        let chosen = self.executor.choose(choose, of_outputs, first_chosen);
        let chosen = chosen.await?;
        let log_probs = match (&self.executor.scratch.batch, choices.how.log_probs) {
            (Some(buffers), true) => {
                let from = BufferRef {
                    bytes: u64::from(outputs) * LOG_PROBS as u64,
                    ..buffers.log_probs
                };
                Some(self.executor.buffers.memory().start_read(from).await?)
            }
            _ => None,
        };
        Ok(InFlight::new(rows, chosen, log_probs))
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
fn bucket(count: u32) -> u32 {
    count.max(1).next_power_of_two()
}
