//! Which plans a session runs, and how each is recorded.

use godwit_shaders::adjust::adjust;
use godwit_shaders::argmax::argmax;
use godwit_shaders::sample::sample;
use godwit_shaders::{Caps, Plan};

use crate::model::{Kv, Llama, Pass, Scratch};
use crate::observe::{Input, observed};

/// What a prepared plan does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Work {
    Transformer(Pass),
    /// A token's logits too.
    Decode(Pass),
    /// The transformer, with inputs' squares summed up.
    Observed(Pass),
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

/// What plans are recorded from. The audit of addresses (`model/addresses.rs`) records all of them without a GPU.
pub(crate) struct Recorder<'a> {
    pub llama: &'a Llama,
    pub caps: &'a Caps,
    pub kv: &'a Kv,
    pub scratch: &'a Scratch,
    pub observed: &'a [Input],
    /// Tokens of a prefill pass.
    pub chunk: u32,
}

impl Recorder<'_> {
    pub fn record(&self, work: Work) -> Plan {
        let Self { llama, caps, kv, scratch: s, .. } = *self;
        let vocab = llama.head.rows;
        match work {
            Work::Transformer(pass) => llama.transformer(caps, kv, s, pass),
            Work::Decode(pass) => llama.decode(caps, kv, s, pass),
            Work::Observed(pass) => {
                // For more than one token, norms are steps of their own, whose results are what is observed.
                let pass = Pass { capacity: pass.capacity.max(2), ..pass };
                observed(llama.transformer(caps, kv, s, pass), self.observed)
            }
            Work::Logits => llama.logits(caps, s),
            Work::Outputs => llama.outputs(caps, s, self.chunk),
            Work::Scores { first } => llama.scores(caps, s, first),
            Work::Choose { greedy, adjusted } => {
                let mut plan = Plan::default();
                if adjusted {
                    adjust(&mut plan, s.choice, s.adjustments, s.logits, vocab);
                }
                match greedy {
                    true => argmax(&mut plan, s.logits, s.tokens, vocab),
                    false => sample(&mut plan, s.choice, s.logits, s.weights, s.tokens, vocab),
                }
                plan
            }
        }
    }
}
