//! The buffers between the weights and the logits, and how many tokens a pass may have for them to
//! fit.

use godwit_shaders::kernels::attention::paged::token_partial_bytes;
use godwit_shaders::kernels::attention::partials_bytes;
use godwit_shaders::kernels::matmul::X_ROW_GROUP;
use godwit_shaders::{AttentionShape, BufferRef, Buffers, Capabilities, F16Tail, KvFormat};

use super::Config;
use super::batch::{BatchBuffers, BatchSize};
use super::llama::SCORED;

/// How much the passes of an executor may have of everything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScratchSize {
    /// Tokens of a pass.
    pub chunk: u32,
    /// Rows of logits that are there at once.
    pub outputs: u32,
    /// Logits that are adjusted in all of these rows together.
    pub adjustments: u32,
    /// Of batches; none where there is one sequence.
    pub batch: Option<BatchSize>,
}

impl ScratchSize {
    /// Of one sequence: passes of so many tokens.
    pub fn of_sequence(config: &Config, chunk: u32) -> Self {
        Self {
            chunk,
            outputs: SCORED,
            adjustments: config.vocab,
            batch: None,
        }
    }
}

/// The buffers of passes of a size. It does not depend on the context.
#[derive(Clone, Debug)]
pub(crate) struct Scratch {
    pub step: BufferRef,
    pub tokens: BufferRef,
    pub x: BufferRef,
    pub h: BufferRef,
    pub qkv: BufferRef,
    pub partials: BufferRef,
    pub attended: BufferRef,
    pub gate: BufferRef,
    /// The up projection, where it waits for its bias.
    pub up: Option<BufferRef>,
    /// Logits of several tokens.
    pub logits: BufferRef,
    pub weights: BufferRef,
    pub choice: BufferRef,
    pub adjustments: BufferRef,
    /// Tokens that were chosen. Where there is one sequence, they are `tokens`: the first one is
    /// what the next pass computes.
    pub chosen: BufferRef,
    /// The f16 tail of each layer, of length 0 where the KV cache has none.
    pub tails: Vec<F16Tail>,
    pub batch: Option<BatchBuffers>,
}

impl Scratch {
    pub fn declare(
        table: &mut Buffers,
        config: &Config,
        shape: AttentionShape,
        kv: KvFormat,
        caps: &Capabilities,
        size: ScratchSize,
        has_gate_biases: bool,
    ) -> Self {
        let ScratchSize {
            chunk,
            outputs,
            adjustments,
            batch,
        } = size;
        let queries = shape.heads * shape.head_dim;
        // Plans for fewer tokens have more splits.
        let of_passes = pass_chunks(chunk).map(|tokens| partials_bytes(caps, shape, tokens));
        let partials = match batch {
            Some(batch) => u64::from(batch.partials) * token_partial_bytes(shape),
            None => of_passes.fold(0, u64::max),
        };
        // What matmul reads has whole groups of rows, counted from the first token's: see
        // `X_ROW_GROUP`. Scoring begins at any multiple of SCORED.
        let padded = chunk.next_multiple_of(X_ROW_GROUP);
        let scored = (chunk - 1) / SCORED * SCORED + SCORED.next_multiple_of(X_ROW_GROUP);
        let mut floats = |name: &str, width: u32, rows: u32| {
            table.declare(name, 4 * u64::from(width) * u64::from(rows))
        };
        let tokens = floats("tokens", 1, chunk);
        let chosen = match batch {
            Some(batch) => floats("chosen", 1, batch.chosen),
            None => tokens,
        };
        Self {
            step: floats("step", 4, 1),
            tokens,
            chosen,
            x: floats("x", config.width, padded),
            h: floats("h", config.width, padded.max(scored)),
            qkv: floats("qkv", shape.qkv_width(), chunk),
            attended: floats("attended", queries, padded),
            gate: floats("gate", config.ffn, padded),
            up: has_gate_biases.then(|| floats("up", config.ffn, chunk)),
            logits: floats("logits", config.vocab, outputs),
            weights: floats("weights", config.vocab.next_multiple_of(4), outputs),
            choice: floats("choice", 12, outputs),
            adjustments: floats("adjustments", 4, adjustments),
            partials: table.declare("partials", partials),
            tails: f16_tails(table, config.layers, shape, kv, chunk),
            batch: batch.map(|batch| BatchBuffers::declare(table, shape, kv, size, batch)),
        }
    }
}

/// The most tokens that the plan of a pass over `tokens` is for: the next power of two, or
/// `prefill_chunk` where that is less. Plans for fewer tokens compute less.
pub(crate) fn pass_chunk(tokens: u32, prefill_chunk: u32) -> u32 {
    tokens.next_power_of_two().min(prefill_chunk)
}

/// All values of [`pass_chunk`], and two, for which calibration runs plans.
pub(crate) fn pass_chunks(prefill_chunk: u32) -> impl Iterator<Item = u32> {
    let powers = std::iter::successors(Some(1_u32), |tokens| tokens.checked_mul(2));
    let smaller = powers.take_while(move |&tokens| tokens <= 2 || tokens < prefill_chunk);
    smaller.chain(std::iter::once(prefill_chunk))
}

/// Tokens of a pass on this device: as many as it is tuned to, or fewer where a buffer for so many
/// does not fit a binding.
pub(crate) fn prefill_chunk(
    config: &Config,
    shape: AttentionShape,
    kv: KvFormat,
    caps: &Capabilities,
    has_gate_biases: bool,
) -> u32 {
    let most = caps.max_binding.min(caps.max_buffer);
    let fits = |tokens: u32| {
        let s = Scratch::declare(
            &mut Buffers::default(),
            config,
            shape,
            kv,
            caps,
            ScratchSize::of_sequence(config, tokens),
            has_gate_biases,
        );
        let grow_with_tokens = [s.x, s.h, s.qkv, s.attended, s.gate, s.partials];
        let tail = s.tails.first().map(|tail| &tail.buffer);
        grow_with_tokens
            .iter()
            .chain(tail)
            .all(|buffer| buffer.bytes <= most)
    };
    let candidates =
        std::iter::successors(Some(caps.tuning.prefill_chunk), |tokens| Some(tokens / 2));
    candidates
        .take_while(|&tokens| tokens > 1)
        .find(|&tokens| fits(tokens))
        .unwrap_or(1)
}

/// Declares the f16 tails of all layers. Where the cache has none, they share an empty buffer.
fn f16_tails(
    table: &mut Buffers,
    layers: u32,
    shape: AttentionShape,
    kv: KvFormat,
    chunk: u32,
) -> Vec<F16Tail> {
    let len = kv.f16_tail_len(chunk);
    let bytes = kv.f16_tail_bytes(shape, chunk);
    let first = table.declare("f16_tail", bytes);
    let more = (1..layers).map(|_| {
        if len > 0 {
            table.declare("f16_tail", bytes)
        } else {
            first
        }
    });
    std::iter::once(first)
        .chain(more)
        .map(|buffer| F16Tail { buffer, len })
        .collect()
}
