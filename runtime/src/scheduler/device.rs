//! The GPU's side of a scheduler: the pool of pages, the buffers of a pass, plans, and what is on
//! its way back.

use std::collections::{HashMap, VecDeque};

use godwit_shaders::kernels::adjust::Adjustment;
use godwit_shaders::kernels::attention::RowClass;
use godwit_shaders::kernels::attention::paged::token_partial_bytes;
use godwit_shaders::kernels::log_probs::{LogProb, MOST};
use godwit_shaders::kernels::sample::Choice;
use godwit_shaders::{BatchRow, BufferRef, Buffers, PAGE, Step, WorkItem};

use super::ahead::CHOSEN_PER_ROW;
use super::batch::{Batch, MOST_SPANS, Spans};
use super::choose::{Choices, RowChoice, Wanted};
use super::host::HostPages;
use super::in_flight::{InFlight, OutputRows};
use super::plan::Chunk;
use super::request::RequestId;
use crate::engine::{Engine, heads};
use crate::error::Error;
use crate::gpu::{DeviceBuffers, Prepared};
use crate::kv_cache::{KvCache, KvSegments, Spilling};
use crate::model::{BatchBuffers, BatchPass, Scratch};

/// Work items of one row beyond one for each span: its pages may lie in several segments.
const MORE_ITEMS: u32 = 16;

/// Bytes of an output row's log-probabilities.
const LOG_PROBS: usize = (1 + MOST as usize) * size_of::<LogProb>();

/// How much one pass may have of everything.
#[derive(Clone, Copy, Debug)]
pub(super) struct Capacity {
    pub rows: u32,
    pub items: u32,
    pub pages: u32,
    pub partials: u32,
    pub outputs: u32,
    pub adjustments: u32,
}

impl Capacity {
    pub fn holds(&self, batch: &Batch) -> bool {
        batch.rows.len() as u32 <= self.rows
            && batch.items.len() as u32 <= self.items
            && batch.pages.len() as u32 <= self.pages
            && batch.partials <= self.partials
            && batch.outputs.len() as u32 <= self.outputs
    }
}

pub(super) struct Device {
    pub(super) engine: Engine,
    pub(super) buffers: DeviceBuffers,
    pub(super) kv: KvCache,
    pub(super) scratch: Scratch,
    pub(super) batch: BatchBuffers,
    /// Keys or values of a page and a layer, on their way from one page to another.
    pub(super) page_copy: BufferRef,
    pub(super) capacity: Capacity,
    pub(super) prepared: HashMap<PlanKey, Prepared>,
    pub(super) host: HostPages,
    pub(super) deterministic: bool,
}

/// What a prepared plan was recorded for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum PlanKey {
    Pass(BatchPass),
    Logits { outputs: u32 },
    Choose { outputs: u32, how: RowChoice },
}

impl Device {
    /// A pool of at most `pages` pages, and the buffers of passes of at most `rows` rows.
    pub async fn new(
        engine: &Engine,
        pages: u32,
        rows: u32,
        outputs: u32,
        context: u32,
        deterministic: bool,
    ) -> Result<Self, Error> {
        let inner = &engine.inner;
        let (config, caps, kv) = (inner.model.config(), inner.gpu.caps(), inner.llama.kv);
        let shape = heads(config);
        let has_gate_biases = inner.llama.has_gate_biases();
        let capacity = Capacity {
            rows,
            items: outputs.max(rows) * 2 + outputs * (MOST_SPANS + MORE_ITEMS),
            pages: outputs.saturating_mul(context.div_ceil(PAGE) + 1),
            partials: (outputs * (MOST_SPANS + MORE_ITEMS)).max(rows * 4),
            outputs,
            adjustments: config.vocab + outputs * 256,
        };
        let mut buffers = inner.buffers.clone();
        let declare = |table: &mut Buffers| {
            let mut scratch =
                Scratch::declare(table, config, shape, kv, caps, rows, has_gate_biases);
            let mut words = |name: &str, bytes: usize, count: u32| {
                table.declare(name, bytes as u64 * u64::from(count))
            };
            let batch = BatchBuffers {
                rows: words("rows", size_of::<BatchRow>(), capacity.rows),
                items: words("items", size_of::<WorkItem>(), capacity.items),
                pages: words("pages", 4, capacity.pages),
                outputs: words("outputs", 4, capacity.outputs),
                chosen: words("chosen", 4, capacity.outputs * CHOSEN_PER_ROW),
                log_probs: words("log_probs", LOG_PROBS, capacity.outputs),
            };
            scratch.logits = words("logits", 4 * config.vocab as usize, outputs);
            let padded = config.vocab.next_multiple_of(4) as usize;
            scratch.weights = words("weights", 4 * padded, outputs);
            scratch.choice = words("choices", size_of::<Choice>(), outputs);
            scratch.adjustments =
                words("adjustments", size_of::<Adjustment>(), capacity.adjustments);
            scratch.partials = words(
                "token partials",
                token_partial_bytes(shape) as usize,
                capacity.partials,
            );
            let [k, v] = kv.bytes(shape);
            let page_copy = table.declare("a page", k.max(v) * u64::from(PAGE));
            (scratch, batch, page_copy)
        };
        let (scratch, batch, page_copy) = buffers.allocate(declare).await?;
        let segments = KvSegments::new(
            shape,
            kv,
            config.layers,
            pages.saturating_mul(PAGE),
            inner.segment_tokens,
            caps,
        );
        Ok(Self {
            kv: KvCache::new(segments, Spilling::Never, None),
            prepared: HashMap::new(),
            host: HostPages::default(),
            engine: engine.clone(),
            buffers,
            scratch,
            batch,
            page_copy,
            capacity,
            deterministic,
        })
    }

    /// The expected time of a prompt's pass of so many tokens, which attend to `attended`
    /// positions; none where no pass of that size was prepared yet.
    pub fn prompt_seconds(&self, tokens: u32, attended: u32) -> Option<f64> {
        let of_prompts = self
            .prepared
            .iter()
            .filter_map(|(key, prepared)| match key {
                PlanKey::Pass(pass) if pass.class == RowClass::Prompt => {
                    Some((pass.rows, prepared))
                }
                _ => None,
            });
        let (_, least) = of_prompts
            .filter(|&(rows, _)| rows == bucket(tokens).min(self.capacity.rows))
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
        let caps = self.engine.gpu().caps();
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
                longer.push(&chunk, spans, self.kv.segments());
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
        let vocab = self.engine.model().config().vocab as usize;
        let adjustments = chunks
            .iter()
            .filter(|chunk| chunk.outputs > 0)
            .filter_map(|chunk| Some((chunk.outputs, choices(chunk.request)?)))
            .map(|(outputs, wanted)| outputs * wanted.most_adjustments(outputs, vocab))
            .sum::<usize>();
        self.capacity.holds(batch) && adjustments <= self.capacity.adjustments as usize
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
        let [_, v_block] = self
            .engine
            .kv_format()
            .blocks(heads(self.engine.model().config()).head_dim);
        let pass = BatchPass {
            rows: bucket(count).min(self.capacity.rows),
            items: bucket(batch.items.len() as u32).min(self.capacity.items),
            item_tokens: bucket(batch.item_tokens).min(self.capacity.rows),
            segments: self.kv.segments().segments_to(u32::MAX),
            class,
            direct: self.engine.gpu().caps().cpu && v_block == 1 && batch.is_direct(),
            deterministic: self.deterministic,
            outputs: if outputs > 0 {
                self.capacity.outputs
            } else {
                0
            },
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
        let chosen = Choices::new(first_chosen, &wanted);
        assert!(
            chosen.adjustments.len() <= self.capacity.adjustments as usize,
            "more adjustments than their buffer holds"
        );
        let bucketed = bucket(outputs.max(1)).min(self.capacity.outputs);
        let logits = PlanKey::Logits { outputs: bucketed };
        let choose = PlanKey::Choose {
            outputs: bucketed,
            how: chosen.how,
        };
        // All are prepared before anything is submitted: a lack of memory changes nothing.
        self.prepare(PlanKey::Pass(pass)).await?;
        if outputs > 0 {
            self.prepare(logits).await?;
            self.prepare(choose).await?;
        }
        self.check(batch);
        let (memory, to) = (self.buffers.memory(), &self.batch);
        memory
            .write(self.scratch.tokens, 0, bytemuck::cast_slice(&batch.tokens))
            .await?;
        memory
            .write(to.rows, 0, bytemuck::cast_slice(&batch.rows))
            .await?;
        memory
            .write(to.items, 0, bytemuck::cast_slice(&batch.items))
            .await?;
        memory
            .write(to.pages, 0, bytemuck::cast_slice(&batch.pages))
            .await?;
        let step = Step {
            position: u32::try_from(batch.attended).unwrap_or(u32::MAX),
            count,
            items: batch.items.len() as u32,
            outputs,
        };
        if outputs == 0 {
            // Something is read all the same, so that the host knows when the pass is done.
            let word = BufferRef {
                bytes: 4,
                ..to.chosen
            };
            let pass = &self.prepared[&PlanKey::Pass(pass)];
            let chosen = pass.submit_and_read(memory, step, word).await?;
            return Ok(InFlight::new(Vec::new(), chosen, None));
        }
        memory
            .write(to.outputs, 0, bytemuck::cast_slice(&batch.outputs))
            .await?;
        memory
            .write(
                self.scratch.choice,
                0,
                bytemuck::cast_slice(&chosen.choices),
            )
            .await?;
        if !chosen.adjustments.is_empty() {
            let adjustments = bytemuck::cast_slice(&chosen.adjustments);
            memory
                .write(self.scratch.adjustments, 0, adjustments)
                .await?;
        }
        self.prepared[&PlanKey::Pass(pass)]
            .submit(memory, step)
            .await?;
        let of_outputs = Step {
            position: 0,
            count: outputs,
            items: 0,
            outputs,
        };
        self.prepared[&logits].submit(memory, of_outputs).await?;
        let from = chosen.written(to.chosen);
        let chosen_tokens = self.prepared[&choose]
            .submit_and_read(memory, of_outputs, from)
            .await?;
        let log_probs = match chosen.how.log_probs {
            true => {
                let from = BufferRef {
                    bytes: u64::from(outputs) * LOG_PROBS as u64,
                    ..to.log_probs
                };
                Some(memory.start_read(from).await?)
            }
            false => None,
        };
        Ok(InFlight::new(rows, chosen_tokens, log_probs))
    }

    async fn prepare(&mut self, key: PlanKey) -> Result<(), Error> {
        if self.prepared.contains_key(&key) {
            return Ok(());
        }
        let inner = &self.engine.inner;
        let (llama, caps, s, batch) = (&inner.llama, inner.gpu.caps(), &self.scratch, &self.batch);
        let plan = match key {
            PlanKey::Pass(pass) => llama.batch(caps, self.kv.segments(), s, batch, pass),
            PlanKey::Logits { outputs } => llama.batch_logits(caps, s, outputs, self.deterministic),
            PlanKey::Choose { outputs, how } => how.plan(s, batch, llama.head.rows, outputs),
        };
        let prepared = Prepared::new(&inner.gpu, self.buffers.memory(), &plan, s.step).await?;
        self.prepared.insert(key, prepared);
        Ok(())
    }
}

/// Plans are made for a few sizes only.
fn bucket(count: u32) -> u32 {
    count.max(1).next_power_of_two()
}
