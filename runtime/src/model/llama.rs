//! The Llama forward pass (Touvron et al. 2023), recorded as plans.

use godwit_shaders::kernels::add_bias::add_bias;
use godwit_shaders::kernels::attention::combine::attention_combine;
use godwit_shaders::kernels::attention::tail::attention_tail;
use godwit_shaders::kernels::attention::{attention, state_bytes};
use godwit_shaders::kernels::embed::embed;
use godwit_shaders::kernels::matmul::{Epilogue, Matmul, NormedMatmul, Tokens, X_ROW_GROUP};
use godwit_shaders::kernels::rms_norm::{Norm, RmsNorm, Rows};
use godwit_shaders::kernels::rope_append::{Rope, rope_append};
use godwit_shaders::kernels::rope_attention::{self, rope_attention};
use godwit_shaders::kernels::swiglu::{GateBiases, SwiGlu};
use godwit_shaders::{AttentionShape, BufferRef, Buffers, Capabilities, KvFormat, Matrix, Plan, Recent, Segment};

use super::{Config, Kv};

/// A model's weights on the GPU.
#[derive(Clone, Debug)]
pub(crate) struct Llama {
    pub heads: AttentionShape,
    /// How the KV cache is stored.
    pub kv: KvFormat,
    pub embed: Matrix,
    pub layers: Vec<Layer>,
    pub norm: Norm,
    /// The output head; the embedding again where they are tied.
    pub head: Matrix,
    pub rope: Rope,
}

/// One transformer block.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub attn_norm: Norm,
    /// Queries, keys and values, one behind the other.
    pub qkv: Matrix,
    pub o: Matrix,
    pub ffn_norm: Norm,
    /// The gate; the up projection's tiles lie in between where `up` is missing.
    pub gate: Matrix,
    pub up: Option<Matrix>,
    pub down: Matrix,
    pub biases: Biases,
}

/// What a block's projections add to their products; most models have no biases.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Biases {
    /// Of queries, keys and values, one behind the other.
    pub qkv: Option<BufferRef>,
    pub o: Option<BufferRef>,
    pub gate_and_up: Option<GateBiases>,
    pub down: Option<BufferRef>,
}

/// What a pass works on, for `chunk` tokens at most. Its size does not depend on the context.
#[derive(Clone, Debug)]
pub(crate) struct Scratch {
    pub step: BufferRef,
    pub tokens: BufferRef,
    pub x: BufferRef,
    pub h: BufferRef,
    pub qkv: BufferRef,
    pub states: BufferRef,
    pub attended: BufferRef,
    pub gate: BufferRef,
    /// The up projection, where it waits for its bias.
    pub up: Option<BufferRef>,
    pub logits: BufferRef,
    /// Logits of several tokens at once, for scoring.
    pub scores: BufferRef,
    pub weights: BufferRef,
    pub choice: BufferRef,
    pub adjustments: BufferRef,
    /// For each layer, the newest keys and values as halves, where the KV cache keeps such.
    pub recent: Vec<Recent>,
}

/// Tokens whose logits are computed together when a text is scored.
pub(crate) const SCORED: u32 = 8;

impl Scratch {
    pub fn declare(
        table: &mut Buffers,
        config: &Config,
        heads: AttentionShape,
        kv: KvFormat,
        caps: &Capabilities,
        chunk: u32,
        has_gate_biases: bool,
    ) -> Self {
        let queries = heads.heads * heads.head_dim;
        let keys = heads.kv_heads * heads.head_dim;
        // Calibration runs one token by a plan for two, which has splits of its own.
        let states = [1, 2, chunk].map(|tokens| state_bytes(caps, heads, tokens)).into_iter().fold(0, u64::max);
        // What matmul reads has whole groups of rows, counted from the first token's: see `X_ROW_GROUP`. Scoring begins at any
        // multiple of SCORED.
        let padded = chunk.next_multiple_of(X_ROW_GROUP);
        let scored = (chunk - 1) / SCORED * SCORED + SCORED.next_multiple_of(X_ROW_GROUP);
        let mut floats =
            |name: &str, width: u32, rows: u32| table.declare(name, 4 * u64::from(width) * u64::from(rows));
        Self {
            step: floats("step", 4, 1),
            tokens: floats("tokens", 1, chunk),
            x: floats("x", config.width, padded),
            h: floats("h", config.width, padded.max(scored)),
            qkv: floats("qkv", queries + 2 * keys, chunk),
            attended: floats("attended", queries, padded),
            gate: floats("gate", config.ffn, padded),
            up: has_gate_biases.then(|| floats("up", config.ffn, chunk)),
            logits: floats("logits", config.vocab, 1),
            scores: floats("scores", config.vocab, SCORED),
            weights: floats("weights", config.vocab, 1),
            choice: floats("choice", 12, 1),
            adjustments: floats("adjustments", 4, config.vocab),
            states: table.declare("states", states),
            recent: recent(table, config.layers, heads, kv, chunk),
        }
    }
}

/// Tokens of a pass on this device: as many as it is tuned to, or fewer where a buffer for so many does not fit a binding.
pub(crate) fn prefill_chunk(
    config: &Config,
    heads: AttentionShape,
    kv: KvFormat,
    caps: &Capabilities,
    has_gate_biases: bool,
) -> u32 {
    let most = caps.max_binding.min(caps.max_buffer);
    let fits = |tokens: u32| {
        let s = Scratch::declare(&mut Buffers::default(), config, heads, kv, caps, tokens, has_gate_biases);
        let grow_with_tokens = [s.x, s.h, s.qkv, s.attended, s.gate, s.states];
        grow_with_tokens.iter().chain(s.recent.first().map(|recent| &recent.buffer)).all(|buffer| buffer.bytes <= most)
    };
    let halves = std::iter::successors(Some(caps.tuning.prefill_chunk), |tokens| Some(tokens / 2));
    halves.take_while(|&tokens| tokens > 1).find(|&tokens| fits(tokens)).unwrap_or(1)
}

/// Declares the rings of all layers; a cache that keeps none shares one that nothing is written to.
fn recent(table: &mut Buffers, layers: u32, heads: AttentionShape, kv: KvFormat, chunk: u32) -> Vec<Recent> {
    let (len, bytes) = (kv.recent_len(chunk), kv.recent_bytes(heads, chunk));
    let first = table.declare("recent", bytes);
    let more = (1..layers).map(|_| if len > 0 { table.declare("recent", bytes) } else { first });
    std::iter::once(first).chain(more).map(|buffer| Recent { buffer, len }).collect()
}

/// One run of the transformer: how many tokens at most, and over how much of the KV cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pass {
    pub chunk: u32,
    /// Segments of the KV cache; the pass's positions lie in the last.
    pub segments: usize,
    /// Whether it is one token among the first [`rope_attention::SHALLOW`].
    pub shallow: bool,
    /// Whether anyone asks what comes out: else the last layer only appends to its KV cache.
    pub outputs: bool,
}

impl Llama {
    /// From token ids to the last layer's output, in `x`; appends to the KV cache.
    pub fn transformer(&self, caps: &Capabilities, kv: &Kv, s: &Scratch, pass: Pass) -> Plan {
        let mut plan = Plan::default();
        let p = &mut plan;
        let n = pass.chunk;
        let tokens = Tokens::Step { chunk: n };
        embed(p, &self.embed, s.tokens, s.x, n);
        let bias = |p: &mut Plan, bias: Option<BufferRef>, y: BufferRef, width: u32| {
            if let Some(bias) = bias {
                add_bias(p, bias, y, width, n);
            }
        };
        for (i, layer) in self.layers.iter().enumerate() {
            let segments = kv.layer(i, pass.segments);
            NormedMatmul {
                weights: &layer.qkv,
                norm: &layer.attn_norm,
                x: s.x,
                normed: s.h,
                out: s.qkv,
                chunk: n,
                epilogue: Epilogue::Store,
            }
            .record(p, caps);
            bias(p, layer.biases.qkv, s.qkv, layer.qkv.rows);
            let is_last = i + 1 == self.layers.len();
            self.attention(p, caps, &segments, s, s.recent[i], Pass { outputs: pass.outputs || !is_last, ..pass });
            if !pass.outputs && is_last {
                break;
            }
            Matmul {
                weights: &layer.o,
                x: s.attended,
                out: s.x,
                tokens,
                epilogue: Epilogue::Accumulate,
            }
            .record(p, caps);
            bias(p, layer.biases.o, s.x, layer.o.rows);
            feed_forward_gate(p, caps, layer, s, n);
            Matmul {
                weights: &layer.down,
                x: s.gate,
                out: s.x,
                tokens,
                epilogue: Epilogue::Accumulate,
            }
            .record(p, caps);
            bias(p, layer.biases.down, s.x, layer.down.rows);
        }
        plan
    }

    /// From a layer's queries, keys and values to what they attend to, in `attended`; where nobody asks for that, keys and values
    /// are appended to the KV cache, and that is all.
    fn attention(
        &self,
        p: &mut Plan,
        caps: &Capabilities,
        segments: &[Segment],
        s: &Scratch,
        recent: Recent,
        pass: Pass,
    ) {
        let (heads, kv, n) = (self.heads, self.kv, pass.chunk);
        let Some(tail) = segments.last() else { return };
        if n == 1 && pass.outputs && rope_attention::suits(caps, heads, kv, segments) {
            rope_attention(p, caps, heads, kv, &self.rope, s.qkv, tail, s.states, s.attended, pass.shallow);
            if !pass.shallow {
                attention_combine(p, caps, heads, kv, s.states, s.attended, n);
            }
            return;
        }
        rope_append(p, caps, heads, kv, &self.rope, s.qkv, tail, recent, n);
        if pass.outputs {
            attention(p, caps, heads, kv, s.qkv, segments, s.states, s.attended, n);
            attention_tail(p, heads, s.qkv, recent, s.states, n);
            attention_combine(p, caps, heads, kv, s.states, s.attended, n);
        }
    }

    /// One token through all of the model, to its logits.
    pub fn decode(&self, caps: &Capabilities, kv: &Kv, s: &Scratch, pass: Pass) -> Plan {
        let mut plan = self.transformer(caps, kv, s, pass);
        plan.dispatches.extend(self.logits(caps, s).dispatches);
        plan
    }

    /// The last token's logits.
    pub fn logits(&self, caps: &Capabilities, s: &Scratch) -> Plan {
        let mut plan = Plan::default();
        RmsNorm { norm: &self.norm, x: s.x, out: s.h, rows: Rows::Last }.record(&mut plan, caps);
        Matmul {
            weights: &self.head,
            x: s.h,
            out: s.logits,
            tokens: Tokens::Rows { first: 0, count: 1 },
            epilogue: Epilogue::Store,
        }
        .record(&mut plan, caps);
        plan
    }

    /// The normalised output of all tokens, in `h`: what [`Llama::scores`] reads.
    pub fn outputs(&self, caps: &Capabilities, s: &Scratch, chunk: u32) -> Plan {
        let mut plan = Plan::default();
        let rows = Rows::All { chunk };
        RmsNorm { norm: &self.norm, x: s.x, out: s.h, rows }.record(&mut plan, caps);
        plan
    }

    /// The logits of [`SCORED`] tokens from the pass's token `first` on, in `scores`.
    pub fn scores(&self, caps: &Capabilities, s: &Scratch, first: u32) -> Plan {
        let mut plan = Plan::default();
        Matmul {
            weights: &self.head,
            x: s.h,
            out: s.scores,
            tokens: Tokens::Rows { first, count: SCORED },
            epilogue: Epilogue::Store,
        }
        .record(&mut plan, caps);
        plan
    }
}

/// The gated half of the feed-forward network, from `x` to `gate`.
fn feed_forward_gate(p: &mut Plan, caps: &Capabilities, layer: &Layer, s: &Scratch, chunk: u32) {
    let Some(up) = &layer.up else {
        return NormedMatmul {
            weights: &layer.gate,
            norm: &layer.ffn_norm,
            x: s.x,
            normed: s.h,
            out: s.gate,
            chunk,
            epilogue: Epilogue::SwiGlu,
        }
        .record(p, caps);
    };
    let project = |p: &mut Plan, weights: &Matrix, out: BufferRef, epilogue: Epilogue| {
        Matmul { weights, x: s.h, out, tokens: Tokens::Step { chunk }, epilogue }.record(p, caps);
    };
    RmsNorm { norm: &layer.ffn_norm, x: s.x, out: s.h, rows: Rows::All { chunk } }
        .record(p, caps);
    project(p, &layer.gate, s.gate, Epilogue::Store);
    match (layer.biases.gate_and_up, s.up) {
        (Some(biases), Some(product)) => {
            project(p, up, product, Epilogue::Store);
            SwiGlu { biases, up: product, gate: s.gate, width: up.rows, chunk }.record(p);
        }
        _ => project(p, up, s.gate, Epilogue::SwiGluInPlace),
    }
}
