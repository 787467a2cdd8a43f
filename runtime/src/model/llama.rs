//! The Llama forward pass (Touvron et al. 2023), recorded as plans.

use godwit_shaders::kernels::add_bias::add_bias;
use godwit_shaders::kernels::attention::combine::AttentionCombine;
use godwit_shaders::kernels::attention::tail::AttentionTail;
use godwit_shaders::kernels::attention::{Attention, partials_bytes};
use godwit_shaders::kernels::embed::embed;
use godwit_shaders::kernels::matmul::{Epilogue, Matmul, NormedMatmul, Tokens, X_ROW_GROUP};
use godwit_shaders::kernels::rms_norm::{Norm, RmsNorm, Rows};
use godwit_shaders::kernels::rope_append::{Rope, RopeAppend};
use godwit_shaders::kernels::rope_attention::RopeAttention;
use godwit_shaders::kernels::swiglu::{GateBiases, SwiGlu};
use godwit_shaders::{
    AttentionShape, BufferRef, Buffers, Capabilities, F16Tail, KvFormat, Matrix, Plan, Segment,
};

use super::Config;
use crate::kv_cache::KvSegments;

/// A model's weights on the GPU.
#[derive(Clone, Debug)]
pub(crate) struct Llama {
    pub shape: AttentionShape,
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

/// The biases of a block's projections; most models have none.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Biases {
    /// Of queries, keys and values, one behind the other.
    pub qkv: Option<BufferRef>,
    pub o: Option<BufferRef>,
    pub gate_and_up: Option<GateBiases>,
    pub down: Option<BufferRef>,
}

/// The buffers of a pass over `chunk` tokens at most. Their size does not depend on the context.
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
    pub logits: BufferRef,
    /// Logits of several tokens at once, for scoring.
    pub scores: BufferRef,
    pub weights: BufferRef,
    pub choice: BufferRef,
    pub adjustments: BufferRef,
    /// The f16 tail of each layer, of length 0 where the KV cache has none.
    pub tails: Vec<F16Tail>,
}

/// Tokens whose logits are computed together when a text is scored.
pub(crate) const SCORED: u32 = 8;

impl Scratch {
    pub fn declare(
        table: &mut Buffers,
        config: &Config,
        shape: AttentionShape,
        kv: KvFormat,
        caps: &Capabilities,
        chunk: u32,
        has_gate_biases: bool,
    ) -> Self {
        let queries = shape.heads * shape.head_dim;
        // Calibration runs one token by a plan for two, which has splits of its own.
        let partials = [1, 2, chunk].map(|tokens| partials_bytes(caps, shape, tokens));
        let partials = partials.into_iter().fold(0, u64::max);
        // What matmul reads has whole groups of rows, counted from the first token's: see
        // `X_ROW_GROUP`. Scoring begins at any multiple of SCORED.
        let padded = chunk.next_multiple_of(X_ROW_GROUP);
        let scored = (chunk - 1) / SCORED * SCORED + SCORED.next_multiple_of(X_ROW_GROUP);
        let mut floats = |name: &str, width: u32, rows: u32| {
            table.declare(name, 4 * u64::from(width) * u64::from(rows))
        };
        Self {
            step: floats("step", 4, 1),
            tokens: floats("tokens", 1, chunk),
            x: floats("x", config.width, padded),
            h: floats("h", config.width, padded.max(scored)),
            qkv: floats("qkv", shape.qkv_width(), chunk),
            attended: floats("attended", queries, padded),
            gate: floats("gate", config.ffn, padded),
            up: has_gate_biases.then(|| floats("up", config.ffn, chunk)),
            logits: floats("logits", config.vocab, 1),
            scores: floats("scores", config.vocab, SCORED),
            weights: floats("weights", config.vocab, 1),
            choice: floats("choice", 12, 1),
            adjustments: floats("adjustments", 4, config.vocab),
            partials: table.declare("partials", partials),
            tails: f16_tails(table, config.layers, shape, kv, chunk),
        }
    }
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
            tokens,
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

/// One run of the transformer: how many tokens at most, and over how much of the KV cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pass {
    pub chunk: u32,
    /// Segments of the KV cache; the pass's positions lie in the last.
    pub segments: usize,
    /// Whether it is one token among the first `MAX_SINGLE_PASS_TOKENS` of `rope_attention`.
    pub single_pass: bool,
    /// Whether anyone asks what comes out: else the last layer only appends to its KV cache.
    pub outputs: bool,
}

impl Llama {
    /// From token ids to the last layer's output, in `x`; appends to the KV cache.
    pub fn transformer(
        &self,
        caps: &Capabilities,
        kv: &KvSegments,
        s: &Scratch,
        pass: Pass,
    ) -> Plan {
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
            self.attention(
                p,
                caps,
                &segments,
                s,
                s.tails[i],
                Pass {
                    outputs: pass.outputs || !is_last,
                    ..pass
                },
            );
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

    /// From a layer's queries, keys and values to attention's output, in `attended`. Where the pass
    /// has no outputs, appends keys and values to the KV cache only.
    fn attention(
        &self,
        p: &mut Plan,
        caps: &Capabilities,
        segments: &[Segment],
        s: &Scratch,
        tail: F16Tail,
        pass: Pass,
    ) {
        let Self {
            shape, kv, rope, ..
        } = *self;
        let Scratch {
            qkv,
            partials,
            attended: out,
            ..
        } = *s;
        let Pass {
            chunk, single_pass, ..
        } = pass;
        let Some(&segment) = segments.last() else {
            return;
        };
        let combine = AttentionCombine {
            shape,
            kv,
            partials,
            out,
            chunk,
        };
        if chunk == 1 && pass.outputs && RopeAttention::is_usable(caps, shape, kv, segments) {
            RopeAttention {
                shape,
                kv,
                rope,
                qkv,
                segment,
                partials,
                out,
                single_pass,
            }
            .record(p, caps);
            if !single_pass {
                combine.record(p, caps);
            }
            return;
        }
        RopeAppend {
            shape,
            kv,
            rope,
            qkv,
            segment,
            tail,
            chunk,
        }
        .record(p, caps);
        if pass.outputs {
            Attention {
                shape,
                kv,
                qkv,
                segments,
                partials,
                out,
                chunk,
            }
            .record(p, caps);
            AttentionTail {
                shape,
                qkv,
                tail,
                partials,
                chunk,
            }
            .record(p);
            combine.record(p, caps);
        }
    }

    /// One token through all of the model, to its logits.
    pub fn decode(&self, caps: &Capabilities, kv: &KvSegments, s: &Scratch, pass: Pass) -> Plan {
        let mut plan = self.transformer(caps, kv, s, pass);
        plan.dispatches.extend(self.logits(caps, s).dispatches);
        plan
    }

    /// The last token's logits.
    pub fn logits(&self, caps: &Capabilities, s: &Scratch) -> Plan {
        let mut plan = Plan::default();
        RmsNorm {
            norm: &self.norm,
            x: s.x,
            out: s.h,
            rows: Rows::Last,
        }
        .record(&mut plan, caps);
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
        RmsNorm {
            norm: &self.norm,
            x: s.x,
            out: s.h,
            rows,
        }
        .record(&mut plan, caps);
        plan
    }

    /// The logits of [`SCORED`] tokens from the pass's token `first` on, in `scores`.
    pub fn scores(&self, caps: &Capabilities, s: &Scratch, first: u32) -> Plan {
        let mut plan = Plan::default();
        Matmul {
            weights: &self.head,
            x: s.h,
            out: s.scores,
            tokens: Tokens::Rows {
                first,
                count: SCORED,
            },
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
        Matmul {
            weights,
            x: s.h,
            out,
            tokens: Tokens::Step { chunk },
            epilogue,
        }
        .record(p, caps);
    };
    RmsNorm {
        norm: &layer.ffn_norm,
        x: s.x,
        out: s.h,
        rows: Rows::All { chunk },
    }
    .record(p, caps);
    project(p, &layer.gate, s.gate, Epilogue::Store);
    match (layer.biases.gate_and_up, s.up) {
        (Some(biases), Some(product)) => {
            project(p, up, product, Epilogue::Store);
            SwiGlu {
                biases,
                up: product,
                gate: s.gate,
                width: up.rows,
                chunk,
            }
            .record(p);
        }
        _ => project(p, up, s.gate, Epilogue::SwiGluInPlace),
    }
}
