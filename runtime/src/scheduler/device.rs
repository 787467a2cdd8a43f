//! The GPU's side of a scheduler: the pool of pages, the buffers of a pass, plans, and what is on
//! its way back.

use std::collections::HashMap;

use godwit_shaders::kernels::adjust::Adjustment;
use godwit_shaders::kernels::attention::RowClass;
use godwit_shaders::kernels::attention::paged::token_partial_bytes;
use godwit_shaders::kernels::log_probs::{LogProb, MOST};
use godwit_shaders::kernels::sample::Choice;
use godwit_shaders::{BatchRow, BufferRef, Buffers, PAGE, Step, WorkItem};

use super::batch::{Batch, MOST_SPANS, Spans};
use super::choose::{Choices, RowChoice, Wanted};
use super::host::HostPages;
use super::plan::Chunk;
use super::request::RequestId;
use crate::engine::{Engine, heads};
use crate::error::Error;
use crate::gpu::{DeviceBuffers, Prepared, Readback};
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

/// The output rows of a request in a pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct OutputRows {
    pub request: RequestId,
    pub count: usize,
    /// As [`Request::log_probs`](super::Request::log_probs).
    pub log_probs: Option<u32>,
}

/// A pass whose tokens are on their way to the host.
pub(super) struct InFlight {
    pub rows: Vec<OutputRows>,
    pub chosen: Readback,
    pub log_probs: Option<Readback>,
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
                chosen: words("chosen", 4, capacity.outputs),
                log_probs: words("log_probs", LOG_PROBS, capacity.outputs),
            };
            scratch.logits = words("logits", 4 * config.vocab as usize, outputs);
            scratch.weights = words("weights", 4 * config.vocab as usize, outputs);
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

    /// The expected time of a prompt's pass of so many tokens at this position, where one was
    /// prepared.
    pub fn prompt_seconds(&self, tokens: u32, position: u32) -> Option<f64> {
        let of_prompt = self.prepared.iter().find_map(|(key, prepared)| match key {
            PlanKey::Pass(pass) if pass.class == RowClass::Prompt && pass.rows >= tokens => {
                Some(prepared)
            }
            _ => None,
        });
        let step = Step {
            position,
            count: tokens,
            items: 1,
            outputs: 0,
        };
        Some(of_prompt?.expected_seconds(step))
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
        let mut rest = chunks;
        while !rest.is_empty() {
            let batch_of = |count: usize| Batch::new(&rest[..count], spans, self.kv.segments());
            let count = (1..=rest.len())
                .rev()
                .find(|&count| count == 1 || self.capacity.holds(&batch_of(count)))
                .unwrap_or(1);
            let batch = batch_of(count);
            if !self.capacity.holds(&batch) {
                return Err(Error::Fragmented);
            }
            in_flight.extend(self.pass(&rest[..count], &batch, class, choices).await?);
            rest = &rest[count..];
        }
        Ok(in_flight)
    }

    /// One pass, and the choice of the tokens that its outputs are for.
    async fn pass(
        &mut self,
        chunks: &[Chunk],
        batch: &Batch,
        class: RowClass,
        choices: &impl Fn(RequestId) -> Option<Wanted>,
    ) -> Result<Option<InFlight>, Error> {
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
        let chosen = Choices::new(&wanted);
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
            self.prepared[&PlanKey::Pass(pass)]
                .submit(memory, step)
                .await?;
            return Ok(None);
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
        let from = BufferRef {
            bytes: 4 * u64::from(outputs),
            ..to.chosen
        };
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
        Ok(Some(InFlight {
            rows,
            chosen: chosen_tokens,
            log_probs,
        }))
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
