//! The Llama forward pass (Touvron et al. 2023), recorded as plans.

use godwit_shaders::kernels::add_bias::add_bias;
use godwit_shaders::kernels::attention::combine::AttentionCombine;
use godwit_shaders::kernels::attention::tail::AttentionTail;
use godwit_shaders::kernels::attention::{self, Attention};
use godwit_shaders::kernels::embed::Embed;
use godwit_shaders::kernels::matmul::{Epilogue, Matmul, MatmulClass, NormedMatmul, Tokens};
use godwit_shaders::kernels::rms_norm::{Norm, RmsNorm, Rows};
use godwit_shaders::kernels::rope_append::{Rope, RopeAppend};
use godwit_shaders::kernels::rope_attention::RopeAttention;
use godwit_shaders::kernels::swiglu::{GateBiases, SwiGlu};
use godwit_shaders::{
    AttentionShape, BufferRef, Capabilities, F16Tail, KvFormat, Matrix, Plan, Segment,
};

use super::Scratch;
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

/// Tokens whose logits are computed together when a text is scored.
pub(crate) const SCORED: u32 = 8;

/// One run of the transformer: how many tokens at most, and over how much of the KV cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pass {
    pub chunk: u32,
    /// Segments of the KV cache; the pass's positions lie in the last.
    pub segments: usize,
    /// Whether it is one token among the first `MAX_SINGLE_PASS_TOKENS` of `rope_attention`.
    pub single_pass: bool,
    /// Whether each token is to be computed as if it were alone, to the last bit, as far as there
    /// are kernels for that.
    pub as_single_tokens: bool,
    /// Whether anyone asks what comes out: else the last layer only appends to its KV cache.
    pub outputs: bool,
}

/// How the transformer blocks are recorded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blocks {
    /// The most rows that the plan is replayed with.
    pub chunk: u32,
    /// Which matmul kernels, whatever the number of rows; none: by that number.
    pub class: Option<MatmulClass>,
    /// Chosen tokens that rows may name in place of a token: see [`Embed`].
    pub chosen: BufferRef,
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
        let blocks = Blocks {
            chunk: pass.chunk,
            chosen: s.chosen,
            class: None,
            outputs: pass.outputs,
        };
        self.blocks(caps, s, blocks, &mut |plan, layer, outputs| {
            let segments = kv.layer(layer, pass.segments);
            let pass = Pass { outputs, ..pass };
            self.attention(plan, caps, &segments, s, s.tails[layer], pass);
        })
    }

    /// The embedding and all transformer blocks. `attention` records the attention of a layer, from
    /// `qkv` to `attended`, where its last argument is true; else only the append to the KV cache.
    pub(super) fn blocks(
        &self,
        caps: &Capabilities,
        s: &Scratch,
        blocks: Blocks,
        attention: &mut dyn FnMut(&mut Plan, usize, bool),
    ) -> Plan {
        let mut plan = Plan::default();
        let p = &mut plan;
        let n = blocks.chunk;
        let tokens = Tokens::Step { chunk: n };
        Embed {
            table: &self.embed,
            tokens: s.tokens,
            chosen: blocks.chosen,
            x: s.x,
            chunk: n,
        }
        .record(p);
        let bias = |p: &mut Plan, bias: Option<BufferRef>, y: BufferRef, width: u32| {
            if let Some(bias) = bias {
                add_bias(p, bias, y, width, n);
            }
        };
        for (i, layer) in self.layers.iter().enumerate() {
            NormedMatmul {
                weights: &layer.qkv,
                norm: &layer.attn_norm,
                x: s.x,
                normed: s.h,
                out: s.qkv,
                chunk: n,
                class: blocks.class,
                epilogue: Epilogue::Store,
            }
            .record(p, caps);
            bias(p, layer.biases.qkv, s.qkv, layer.qkv.rows);
            let is_last = i + 1 == self.layers.len();
            attention(p, i, blocks.outputs || !is_last);
            if !blocks.outputs && is_last {
                break;
            }
            Matmul {
                weights: &layer.o,
                x: s.attended,
                out: s.x,
                tokens,
                class: blocks.class,
                epilogue: Epilogue::Accumulate,
            }
            .record(p, caps);
            bias(p, layer.biases.o, s.x, layer.o.rows);
            feed_forward_gate(p, caps, layer, s, blocks);
            Matmul {
                weights: &layer.down,
                x: s.gate,
                out: s.x,
                tokens,
                class: blocks.class,
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
                class: pass.as_single_tokens.then_some(attention::RowClass::Decode),
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
            class: None,
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

    /// The logits of `count` tokens, [`SCORED`] at most, from the pass's token `first` on, in
    /// `logits`.
    pub fn scores(&self, caps: &Capabilities, s: &Scratch, first: u32, count: u32) -> Plan {
        let mut plan = Plan::default();
        Matmul {
            weights: &self.head,
            x: s.h,
            out: s.logits,
            tokens: Tokens::Rows { first, count },
            class: None,
            epilogue: Epilogue::Store,
        }
        .record(&mut plan, caps);
        plan
    }
}

/// The gated half of the feed-forward network, from `x` to `gate`.
fn feed_forward_gate(
    p: &mut Plan,
    caps: &Capabilities,
    layer: &Layer,
    s: &Scratch,
    blocks: Blocks,
) {
    let Blocks { chunk, class, .. } = blocks;
    let Some(up) = &layer.up else {
        return NormedMatmul {
            weights: &layer.gate,
            norm: &layer.ffn_norm,
            x: s.x,
            normed: s.h,
            out: s.gate,
            chunk,
            class,
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
            class,
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
        (Some(biases), Some(up_out)) => {
            project(p, up, up_out, Epilogue::Store);
            SwiGlu {
                biases,
                up: up_out,
                gate: s.gate,
                width: up.rows,
                chunk,
            }
            .record(p);
        }
        _ => project(p, up, s.gate, Epilogue::SwiGluInPlace),
    }
}
