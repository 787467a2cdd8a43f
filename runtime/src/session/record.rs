//! Which plans a session runs, and how each is recorded.

use godwit_shaders::kernels::adjust::Adjust;
use godwit_shaders::kernels::argmax::Argmax;
use godwit_shaders::kernels::sample::Sample;
use godwit_shaders::{BufferRef, Capabilities, Plan, Step};

use super::calibrate::{Input, with_input_squares};
use crate::kv_cache::KvSegments;
use crate::model::{Llama, Pass, SCORED, Scratch};

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
    /// The logits of `count` tokens of the pass.
    Scores {
        first: u32,
        count: u32,
    },
    Choose {
        greedy: bool,
        adjusted: bool,
    },
    /// The choice of a token after each of several.
    ChooseEach {
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
            StepKind::Scores { first, count } => llama.scores(caps, s, first, count),
            StepKind::Choose { greedy, adjusted } => {
                choose(s, s.logits, vocab, 1, greedy, adjusted)
            }
            StepKind::ChooseEach { greedy, adjusted } => {
                choose(s, s.scores, vocab, SCORED, greedy, adjusted)
            }
        }
    }
}

/// Chooses a token for each of up to `rows` rows of logits, all greedily or none.
fn choose(
    s: &Scratch,
    logits: BufferRef,
    vocab: u32,
    rows: u32,
    greedy: bool,
    adjusted: bool,
) -> Plan {
    let mut plan = Plan::default();
    let (choices, chosen) = (s.choice, s.tokens);
    if adjusted {
        Adjust {
            choices,
            adjustments: s.adjustments,
            logits,
            vocab,
            rows,
        }
        .record(&mut plan);
    }
    match greedy {
        true => Argmax {
            choices,
            logits,
            chosen,
            vocab,
            rows,
        }
        .record(&mut plan),
        false => Sample {
            choices,
            logits,
            weights: s.weights,
            chosen,
            vocab,
            rows,
        }
        .record(&mut plan),
    }
    plan
}
