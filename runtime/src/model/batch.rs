//! The forward pass over a batch: rows of several sequences, whose keys and values lie in pages.

use godwit_shaders::kernels::attention::RowClass;
use godwit_shaders::kernels::attention::combine::PagedCombine;
use godwit_shaders::kernels::attention::paged::PagedAttention;
use godwit_shaders::kernels::log_probs::{LogProb, MOST};
use godwit_shaders::kernels::matmul::{Epilogue, Matmul, MatmulClass, Tokens};
use godwit_shaders::kernels::rms_norm::{RmsNorm, Rows};
use godwit_shaders::kernels::rope_append::PagedRopeAppend;
use godwit_shaders::{
    AttentionShape, BatchRow, BufferRef, Buffers, Capabilities, KvFormat, PAGE, Plan, Segment,
    WorkItem,
};

use super::llama::{Blocks, Llama};
use super::scratch::{Scratch, ScratchSize};
use crate::kv_cache::KvSegments;

/// The buffers of a batch beside those of every pass.
#[derive(Clone, Debug)]
pub(crate) struct BatchBuffers {
    /// [`BatchRow`](godwit_shaders::BatchRow)s.
    pub rows: BufferRef,
    /// [`WorkItem`](godwit_shaders::WorkItem)s.
    pub items: BufferRef,
    /// The pages that work items name, one word each.
    pub pages: BufferRef,
    /// Rows whose logits are wanted, one word each.
    pub outputs: BufferRef,
    /// Log-probabilities of the outputs.
    pub log_probs: BufferRef,
    /// Keys or values of a page and a layer, on their way from one page to another.
    pub page_copy: BufferRef,
}

/// How much one batch may have of everything, beside rows and outputs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BatchSize {
    /// Work items.
    pub items: u32,
    /// Pages that all items name together.
    pub pages: u32,
    /// Token partials.
    pub partials: u32,
    /// Tokens that were chosen and not yet read, of all batches in flight.
    pub chosen: u32,
}

/// Bytes of an output row's log-probabilities.
pub(crate) const LOG_PROBS: usize = (1 + MOST as usize) * size_of::<LogProb>();

impl BatchBuffers {
    pub fn declare(
        table: &mut Buffers,
        shape: AttentionShape,
        kv: KvFormat,
        size: ScratchSize,
        batch: BatchSize,
    ) -> Self {
        let mut array = |name: &str, bytes: usize, count: u32| {
            table.declare(name, bytes as u64 * u64::from(count))
        };
        let page = kv.bytes(shape).into_iter().fold(0, u64::max);
        Self {
            rows: array("rows", size_of::<BatchRow>(), size.chunk),
            items: array("items", size_of::<WorkItem>(), batch.items),
            pages: array("pages", 4, batch.pages),
            outputs: array("outputs", 4, size.outputs),
            log_probs: array("log_probs", LOG_PROBS, size.outputs),
            page_copy: array("a page", page as usize, PAGE),
        }
    }
}

/// One run of the transformer over a batch: how much of everything at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct BatchPass {
    pub rows: u32,
    pub items: u32,
    /// Tokens of a work item.
    pub item_tokens: u32,
    /// Segments of the KV cache.
    pub segments: usize,
    /// Which kernels: those for single tokens, or those for chunks of prompts.
    pub class: RowClass,
    /// Whether attention stores its output at once: each row has one work item.
    pub direct: bool,
    /// Whether a row's result must not depend on how many rows there are.
    pub deterministic: bool,
    /// Rows whose logits are wanted. 0: the last layer only appends to its KV cache.
    pub outputs: u32,
}

impl BatchPass {
    fn matmul_class(self) -> Option<MatmulClass> {
        match (self.deterministic, self.class) {
            (false, _) => None,
            (true, RowClass::Decode) => Some(MatmulClass::FewRows),
            (true, RowClass::Prompt) => Some(MatmulClass::Gemm),
        }
    }
}

impl Llama {
    /// From token ids to the normalised output of the listed rows, in `h`; appends to the KV cache.
    pub fn batch(
        &self,
        caps: &Capabilities,
        kv: &KvSegments,
        s: &Scratch,
        pass: BatchPass,
    ) -> Plan {
        let Some(batch) = &s.batch else {
            return Plan::default();
        };
        let blocks = Blocks {
            chunk: pass.rows,
            chosen: s.chosen,
            class: pass.matmul_class(),
            outputs: pass.outputs > 0,
        };
        let mut plan = self.blocks(caps, s, blocks, &mut |plan, layer, outputs| {
            let segments = kv.layer(layer, pass.segments);
            self.paged_attention(plan, caps, &segments, s, batch, pass, outputs);
        });
        if pass.outputs > 0 {
            RmsNorm {
                norm: &self.norm,
                x: s.x,
                out: s.h,
                rows: Rows::Listed {
                    outputs: batch.outputs,
                    count: pass.outputs,
                },
            }
            .record(&mut plan, caps);
        }
        plan
    }

    /// From a layer's queries, keys and values to attention's output, in `attended`. Without
    /// `outputs`, appends keys and values to the KV cache only.
    #[expect(
        clippy::too_many_arguments,
        reason = "what a layer's attention is recorded from"
    )]
    fn paged_attention(
        &self,
        plan: &mut Plan,
        caps: &Capabilities,
        segments: &[Segment],
        s: &Scratch,
        batch: &BatchBuffers,
        pass: BatchPass,
        outputs: bool,
    ) {
        let (shape, kv) = (self.shape, self.kv);
        PagedRopeAppend {
            shape,
            kv,
            rope: self.rope,
            qkv: s.qkv,
            rows: batch.rows,
            segments,
            chunk: pass.rows,
        }
        .record(plan, caps);
        if !outputs {
            return;
        }
        PagedAttention {
            shape,
            kv,
            qkv: s.qkv,
            segments,
            items: batch.items,
            pages: batch.pages,
            partials: s.partials,
            out: s.attended,
            max_items: pass.items,
            item_tokens: pass.item_tokens,
            class: pass.class,
            direct: pass.direct,
        }
        .record(plan, caps);
        if !pass.direct {
            PagedCombine {
                shape,
                kv,
                rows: batch.rows,
                partials: s.partials,
                out: s.attended,
                chunk: pass.rows,
            }
            .record(plan, caps);
        }
    }

    /// The logits of the rows in `h`, at most `outputs`: the step counts those rows only.
    pub fn batch_logits(
        &self,
        caps: &Capabilities,
        s: &Scratch,
        outputs: u32,
        deterministic: bool,
    ) -> Plan {
        let mut plan = Plan::default();
        Matmul {
            weights: &self.head,
            x: s.h,
            out: s.logits,
            tokens: Tokens::Step { chunk: outputs },
            class: match deterministic {
                true => Some(MatmulClass::FewRows),
                false => None,
            },
            epilogue: Epilogue::Store,
        }
        .record(&mut plan, caps);
        plan
    }

    /// Whether the gate and the up projection have biases.
    pub fn has_gate_biases(&self) -> bool {
        self.layers
            .iter()
            .any(|layer| layer.biases.gate_and_up.is_some())
    }
}
