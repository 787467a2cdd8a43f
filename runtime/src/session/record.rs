//! Which plans a session runs, and how each is recorded.

use godwit_shaders::kernels::adjust::Adjust;
use godwit_shaders::kernels::argmax::Argmax;
use godwit_shaders::kernels::sample::Sample;
use godwit_shaders::{Capabilities, Plan, Step};

use super::calibrate::{Input, with_input_squares};
use crate::kv_cache::KvSegments;
use crate::model::{Llama, Pass, Scratch};

/// The kind of a prepared plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum StepKind {
    Transformer(Pass),
    /// A token's logits too.
    Decode(Pass),
    /// The transformer, with inputs' squares summed up.
    Calibrate(Pass),
    Logits,
    Outputs,
    Scores {
        first: u32,
    },
    Choose {
        greedy: bool,
        adjusted: bool,
    },
}

/// The step of [`StepKind::Choose`]: one row of logits.
pub(crate) const CHOOSE: Step = Step {
    position: 0,
    count: 0,
    items: 0,
    outputs: 1,
};

/// What plans are recorded from. The audit of addresses (`addresses.rs`) records all of them
/// without a GPU.
pub(crate) struct Recorder<'a> {
    pub llama: &'a Llama,
    pub caps: &'a Capabilities,
    pub kv: &'a KvSegments,
    pub scratch: &'a Scratch,
    pub calibrated: &'a [Input],
    /// Tokens of a prefill pass.
    pub chunk: u32,
}

impl Recorder<'_> {
    pub fn record(&self, work: StepKind) -> Plan {
        let Self {
            llama,
            caps,
            kv,
            scratch: s,
            ..
        } = *self;
        let vocab = llama.head.rows;
        match work {
            StepKind::Transformer(pass) => llama.transformer(caps, kv, s, pass),
            StepKind::Decode(pass) => llama.decode(caps, kv, s, pass),
            StepKind::Calibrate(pass) => {
                // In GEMM plans norms are dispatches of their own, whose results are what is
                // measured.
                let pass = Pass {
                    chunk: pass.chunk.max(2),
                    ..pass
                };
                let caps = caps.without_few_rows();
                with_input_squares(llama.transformer(&caps, kv, s, pass), self.calibrated)
            }
            StepKind::Logits => llama.logits(caps, s),
            StepKind::Outputs => llama.outputs(caps, s, self.chunk),
            StepKind::Scores { first } => llama.scores(caps, s, first),
            StepKind::Choose { greedy, adjusted } => {
                let mut plan = Plan::default();
                if adjusted {
                    Adjust {
                        choices: s.choice,
                        adjustments: s.adjustments,
                        logits: s.logits,
                        vocab,
                        rows: 1,
                    }
                    .record(&mut plan);
                }
                match greedy {
                    true => Argmax {
                        choices: s.choice,
                        logits: s.logits,
                        chosen: s.tokens,
                        vocab,
                        rows: 1,
                    }
                    .record(&mut plan),
                    false => Sample {
                        choices: s.choice,
                        logits: s.logits,
                        weights: s.weights,
                        chosen: s.tokens,
                        vocab,
                        rows: 1,
                    }
                    .record(&mut plan),
                }
                plan
            }
        }
    }
}
