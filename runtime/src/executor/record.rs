//! What an executor does, and how the plan of each is recorded.

use godwit_shaders::{Capabilities, Plan, Step};

use super::choose::RowChoice;
use super::input_squares::{Input, with_input_squares};
use crate::kv_cache::KvSegments;
use crate::model::{BatchPass, Llama, Pass, Scratch};

/// The kind of a prepared plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Work {
    /// The transformer, over consecutive tokens of one sequence.
    Transformer(Pass),
    /// A token's logits too.
    Decode(Pass),
    /// The transformer, with inputs' squares summed up.
    Calibrate(Pass),
    /// The logits of the pass's last token.
    Logits,
    /// The normalised outputs of all of the pass's tokens.
    Outputs,
    /// The logits of `count` of them.
    Scores { first: u32, count: u32 },
    /// The transformer over a batch, up to the normalised outputs that are wanted.
    Batch(BatchPass),
    /// The logits of so many of them at most.
    BatchLogits {
        outputs: u32,
        /// As [`BatchPass::deterministic`].
        deterministic: bool,
    },
    /// The choice of a token for each of so many rows of logits at most.
    Choose { rows: u32, how: RowChoice },
}

impl Work {
    /// The segments of the KV cache that the plan reads, where it is a pass over one sequence.
    pub fn segments(self) -> Option<usize> {
        match self {
            Self::Transformer(pass) | Self::Decode(pass) | Self::Calibrate(pass) => {
                Some(pass.segments)
            }
            _ => None,
        }
    }
}

/// The step of [`Work::Choose`]: one row of logits.
pub(crate) const CHOOSE: Step = Step {
    position: 0,
    count: 0,
    items: 0,
    outputs: 1,
};

/// What plans are recorded from. The audit of addresses (`addresses`) records all of them
/// without a GPU.
pub(crate) struct Recorder<'a> {
    pub llama: &'a Llama,
    pub caps: &'a Capabilities,
    pub kv: &'a KvSegments,
    pub scratch: &'a Scratch,
    pub calibrated: &'a [Input],
    /// Tokens of a pass at most.
    pub chunk: u32,
}

impl Recorder<'_> {
    pub fn record(&self, work: Work) -> Plan {
        let Self {
            llama,
            caps,
            kv,
            scratch: s,
            ..
        } = *self;
        match work {
            Work::Transformer(pass) => llama.transformer(caps, kv, s, pass),
            Work::Decode(pass) => llama.decode(caps, kv, s, pass),
            Work::Calibrate(pass) => {
                // In GEMM plans norms are dispatches of their own, whose results are what is
                // measured.
                let pass = Pass {
                    chunk: pass.chunk.max(2),
                    ..pass
                };
                let caps = caps.without_few_rows();
                with_input_squares(llama.transformer(&caps, kv, s, pass), self.calibrated)
            }
            Work::Logits => llama.logits(caps, s),
            Work::Outputs => llama.outputs(caps, s, self.chunk),
            Work::Scores { first, count } => llama.scores(caps, s, first, count),
            Work::Batch(pass) => llama.batch(caps, kv, s, pass),
            Work::BatchLogits {
                outputs,
                deterministic,
            } => llama.batch_logits(caps, s, outputs, deterministic),
            Work::Choose { rows, how } => how.plan(s, llama.head.rows, rows),
        }
    }
}
