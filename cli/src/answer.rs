//! An answer: tokens of a session until the model ends its turn, a rule ends it, or Ctrl-C.

use std::time::Instant;

use godwit::{
    Error, FinishReason, GenerateOptions, Generation, GpuError, Reuse, Session, Speculated,
};
use serde::Serialize;

use crate::stop::Stop;

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The model ended its turn.
    EndOfTurn,
    /// A text that was given with `--stop` came.
    StopString,
    /// As many tokens as were asked for.
    Length,
    /// No room for another token.
    Context,
    /// No GPU memory for another token.
    Memory,
    /// Ctrl-C.
    Interrupted,
}

/// An answer, and how it came about.
pub struct Answer {
    pub ids: Vec<u32>,
    pub text: String,
    pub seconds: f64,
    pub reason: StopReason,
    /// Tokens that were guessed.
    pub speculated: Speculated,
    /// Tokens that the context holds at most.
    context: u32,
    /// Tokens that it could hold.
    window: u32,
    /// The GPU's error where its memory was the cause.
    out_of_memory: Option<GpuError>,
}

impl Answer {
    pub fn tokens_per_s(&self) -> f64 {
        rate(self.ids.len(), self.seconds)
    }

    /// Whether the answer ended as the model or a stop text ended it.
    pub fn is_complete(&self) -> bool {
        matches!(self.reason, StopReason::EndOfTurn | StopReason::StopString)
    }

    /// Why the answer is not whole, and how to get more of it; none where it ended as it should.
    pub fn notice(&self) -> Option<String> {
        let Self {
            ids,
            context,
            window,
            ..
        } = self;
        Some(match self.reason {
            StopReason::EndOfTurn | StopReason::StopString => return None,
            StopReason::Interrupted => "(stopped)".into(),
            StopReason::Length => format!("(stopped after {} tokens; -n N allows more)", ids.len()),
            StopReason::Context if context < window => format!(
                "(the context of {context} tokens is full; --context N holds up to {window}, \
                 --context-shift goes on without the oldest)"
            ),
            StopReason::Context => {
                format!(
                    "(the context of {context} tokens is full; --context-shift goes on without \
                     the oldest)"
                )
            }
            StopReason::Memory => {
                let cause = self
                    .out_of_memory
                    .as_ref()
                    .map(ToString::to_string)
                    .unwrap_or_default();
                format!("(the answer ends here: {cause})")
            }
        })
    }
}

/// A line about the time that an answer took, as `--verbose` has it.
pub fn timings(reuse: &Reuse, prefill_s: f64, answer: &Answer) -> String {
    let Answer { ids, seconds, .. } = answer;
    let known = match (reuse.kept, reuse.loaded) {
        (0, 0) => String::new(),
        (kept, 0) => format!(", {kept} reused"),
        (kept, loaded) => format!(", {kept} reused, {loaded} from disk"),
    };
    let speculated = match answer.speculated.drafted {
        0 => String::new(),
        drafted => format!(
            ", {} of {drafted} guesses right",
            answer.speculated.accepted
        ),
    };
    format!(
        "(prompt: {} tokens in {prefill_s:.2} s, {:.1}/s{known}; answer: {} tokens in \
         {seconds:.2} s, {:.1}/s{speculated})",
        reuse.computed,
        rate(reuse.computed, prefill_s),
        ids.len(),
        answer.tokens_per_s(),
    )
}

/// A reply that broke off, and as much of it as there is.
pub struct BrokenOff {
    pub answer: Answer,
    pub error: anyhow::Error,
}

/// Generates an answer; `each` gets the text as it becomes whole.
pub async fn generate(
    session: &mut Session,
    draft: Option<&mut Session>,
    options: GenerateOptions,
    stop: &Stop,
    each: &mut dyn FnMut(&str) -> anyhow::Result<()>,
) -> Result<Answer, BrokenOff> {
    let begin = Instant::now();
    let mut answer = Answer {
        ids: Vec::new(),
        text: String::new(),
        seconds: 0.0,
        reason: StopReason::Interrupted,
        speculated: Speculated::default(),
        context: session.context(),
        window: session.engine().model().config().context,
        out_of_memory: None,
    };
    let generation = match draft {
        Some(draft) => session.generate_with_draft(draft, options),
        None => session.generate(options),
    };
    let mut generation = match generation {
        Ok(generation) => generation,
        Err(error) => {
            let error = error.into();
            return Err(BrokenOff { answer, error });
        }
    };
    let mut result = stream(&mut generation, stop, each).await;
    // What is held back is part of the answer, however it ends.
    let rest = generation.cancel();
    if !rest.is_empty()
        && let Err(error) = each(&rest)
    {
        result = result.and(Err(error));
    }
    answer.seconds = begin.elapsed().as_secs_f64();
    answer.ids = generation.tokens().to_vec();
    answer.speculated = generation.speculated();
    answer.text = generation.text().to_owned();
    match result {
        Ok(reason) => {
            answer.reason = reason;
            if let Some(FinishReason::Memory(error)) = generation.finish_reason() {
                answer.out_of_memory = Some(error.clone());
            }
            Ok(answer)
        }
        Err(error) => Err(BrokenOff { answer, error }),
    }
}

/// Hands over an answer piece by piece. Returns why it ended.
async fn stream(
    generation: &mut Generation<'_>,
    stop: &Stop,
    each: &mut dyn FnMut(&str) -> anyhow::Result<()>,
) -> anyhow::Result<StopReason> {
    while !stop.requested() {
        match generation.next_watched(&mut |_| stop.flow()).await {
            Ok(Some(piece)) if piece.text.is_empty() => {}
            Ok(Some(piece)) => each(&piece.text)?,
            Ok(None) | Err(Error::Stopped) => break,
            Err(error) => return Err(error.into()),
        }
    }
    if stop.requested() && generation.finish_reason() == Some(&FinishReason::Length) {
        return Ok(StopReason::Interrupted);
    }
    Ok(match generation.finish_reason() {
        Some(FinishReason::EndOfTurn) => StopReason::EndOfTurn,
        Some(FinishReason::StopString) => StopReason::StopString,
        Some(FinishReason::Length) => StopReason::Length,
        Some(FinishReason::Context) => StopReason::Context,
        Some(FinishReason::Memory(_)) => StopReason::Memory,
        _ => StopReason::Interrupted,
    })
}

/// Tokens per second.
pub fn rate(tokens: usize, seconds: f64) -> f64 {
    if seconds > 0.0 {
        tokens as f64 / seconds
    } else {
        0.0
    }
}
