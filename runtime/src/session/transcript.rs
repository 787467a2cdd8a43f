//! The tokens of a session, and which of the GPU's buffers agree with them.
//!
//! Every change of a session's tokens goes through [`Transcript`], which forgets what no longer
//! holds. Its invariants hold between any two of its methods, so a future that fails or is dropped
//! between them leaves a session that can be used:
//!
//! - The KV cache holds keys and values of every token. A token is added only after the pass that
//!   writes its keys and values was submitted. Tokens whose keys and values are computed again stay
//!   where they are meanwhile.
//! - What is about to be overwritten is forgotten before it is.

use std::collections::VecDeque;

use crate::sampling::Sampling;

/// A sequence of tokens, and the state of the GPU after it. `R` is a token on its way to the host.
pub(crate) struct Transcript<R> {
    tokens: Vec<u32>,
    /// How many of the tokens the device is known to have computed without an error.
    settled: usize,
    output: Output<R>,
    f16_tail: F16Tail,
}

/// The state of the GPU's work on the position after the last token.
enum Output<R> {
    /// Nothing that can be used: the logits buffer belongs to other tokens.
    Stale,
    /// The logits after the last token.
    Logits,
    /// The next tokens.
    InFlight(InFlight<R>),
}

/// Tokens that were chosen, and submitted to the transformer, before the host has read them.
struct InFlight<R> {
    chosen: VecDeque<R>,
    /// How they were chosen.
    sampling: Sampling,
    /// Tokens in a row that the caller was given with this sampling.
    given: u32,
    logits: LogitsInFlight,
}

/// The logits buffer while tokens are in flight.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LogitsInFlight {
    /// The logits after the last token in flight: the next one can be chosen.
    AfterLast,
    /// A step was begun and not completed: no token can be chosen before those in flight are
    /// accepted, and the logits are computed again.
    Undefined,
}

/// Which positions the rings of [`F16Tail`](godwit_shaders::F16Tail) hold.
struct F16Tail {
    /// Positions of a tail block; 1 where the KV cache has no f16 tail.
    block: usize,
    /// Positions in a ring.
    len: usize,
    /// The rings hold all tokens from this position on.
    first: usize,
}

impl<R> Transcript<R> {
    /// No tokens. The f16 tail has `ring` positions, in blocks of `tail_block`.
    pub fn new(tail_block: u32, ring: u32) -> Self {
        let f16_tail = F16Tail {
            block: tail_block as usize,
            len: ring as usize,
            first: 0,
        };
        Self {
            tokens: Vec::new(),
            settled: 0,
            output: Output::Stale,
            f16_tail,
        }
    }

    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Forgets all tokens from `len` on, if there are any.
    pub fn truncate(&mut self, len: usize) {
        if len < self.tokens.len() {
            self.overwrite_from(len);
        }
    }

    /// Forgets all tokens from `position` on, in flight or not: their places in the KV cache are
    /// about to be overwritten.
    pub fn overwrite_from(&mut self, position: usize) {
        self.forget_in_flight();
        if position < self.tokens.len() {
            self.tokens.truncate(position);
            self.settled = self.settled.min(position);
            self.output = Output::Stale;
            self.f16_tail.first = self.f16_tail.first.min(position);
        }
    }

    /// A pass is about to be submitted that writes the keys and values of positions up to `end`.
    /// It overwrites what the transformer computed last, and the oldest positions in the rings.
    pub fn begin_pass(&mut self, end: usize) {
        self.output = Output::Stale;
        self.f16_tail.evict(end);
    }

    /// Adds tokens after the pass that writes their keys and values was submitted.
    pub fn append(&mut self, tokens: &[u32]) {
        self.output = Output::Stale;
        self.tokens.extend_from_slice(tokens);
    }

    /// Adds tokens whose keys and values were written to the KV cache without a pass.
    pub fn append_cached(&mut self, tokens: &[u32]) {
        self.append(tokens);
        self.f16_tail.first = self.tokens.len();
    }

    /// The device has done all that was submitted for the tokens, without an error.
    pub fn settle(&mut self) {
        self.settled = self.tokens.len();
    }

    /// The device lacked memory for some of what was submitted since [`Transcript::settle`]: the
    /// tokens since then are forgotten, since their keys and values may never have been written.
    pub fn forget_unsettled(&mut self) {
        self.overwrite_from(self.settled);
        self.output = Output::Stale;
    }

    /// The logits after the last token were submitted.
    pub fn set_logits(&mut self) {
        self.output = Output::Logits;
    }

    /// The logits buffer is about to hold something else.
    pub fn forget_logits(&mut self) {
        self.forget_in_flight();
        self.output = Output::Stale;
    }

    /// Whether the GPU has the logits after the last token.
    pub fn has_logits(&self) -> bool {
        matches!(self.output, Output::Logits)
    }

    /// The beginning of the tail block of `position`, where the rings lack tokens between the two.
    pub fn missing_tail_block(&self, position: usize) -> Option<usize> {
        let begin = position / self.f16_tail.block * self.f16_tail.block;
        (begin < position && self.f16_tail.first > begin).then_some(begin)
    }

    /// The rings are about to be written from the beginning of a tail block on. Until
    /// [`Transcript::set_tail_block`] they hold nothing.
    pub fn begin_tail_block(&mut self) {
        self.output = Output::Stale;
        self.f16_tail.first = self.tokens.len();
    }

    /// The rings hold all tokens from `begin` on.
    pub fn set_tail_block(&mut self, begin: usize) {
        self.f16_tail.first = begin;
    }

    /// Forgets the tokens in flight. Where there are none, the logits stay.
    pub fn forget_in_flight(&mut self) {
        if let Output::InFlight(in_flight) = &self.output {
            self.output = match in_flight.chosen.is_empty()
                && in_flight.logits == LogitsInFlight::AfterLast
            {
                true => Output::Logits,
                false => Output::Stale,
            };
        }
    }

    /// Tokens in flight.
    pub fn in_flight(&self) -> usize {
        match &self.output {
            Output::InFlight(in_flight) => in_flight.chosen.len(),
            _ => 0,
        }
    }

    /// Whether the next token can be had without new logits: it is in flight, or the logits to
    /// choose it from are there, as the ones before it were chosen.
    pub fn continues(&self, sampling: &Sampling) -> bool {
        match &self.output {
            Output::InFlight(in_flight) => {
                in_flight.sampling == *sampling
                    && !(in_flight.chosen.is_empty()
                        && in_flight.logits == LogitsInFlight::Undefined)
            }
            _ => false,
        }
    }

    /// Tokens are chosen in this way from now on. The logits after the last token are there.
    pub fn begin_choosing(&mut self, sampling: Sampling) {
        debug_assert!(self.has_logits());
        let (chosen, given, logits) = (VecDeque::new(), 0, LogitsInFlight::AfterLast);
        self.output = Output::InFlight(InFlight {
            chosen,
            sampling,
            given,
            logits,
        });
    }

    /// How many tokens may be in flight with the next one: no more than were asked for in a row. A
    /// caller that changes the sampling with every token loses nothing. None may be added where the
    /// logits are undefined.
    pub fn most_in_flight(&self) -> usize {
        match &self.output {
            Output::InFlight(in_flight) if in_flight.logits == LogitsInFlight::AfterLast => {
                in_flight.given as usize + 1
            }
            _ => 0,
        }
    }

    /// A step is about to be submitted that chooses the next token in flight and ends at position
    /// `end`. Until [`Transcript::complete_step`] the logits are undefined.
    pub fn begin_step(&mut self, end: usize) {
        self.f16_tail.evict(end);
        if let Output::InFlight(in_flight) = &mut self.output {
            in_flight.logits = LogitsInFlight::Undefined;
        }
    }

    /// No more tokens are chosen before those in flight were accepted.
    pub fn stop_choosing(&mut self) {
        if let Output::InFlight(in_flight) = &mut self.output {
            in_flight.logits = LogitsInFlight::Undefined;
        }
    }

    /// The step was submitted.
    pub fn complete_step(&mut self, chosen: R) {
        if let Output::InFlight(in_flight) = &mut self.output {
            in_flight.chosen.push_back(chosen);
            in_flight.logits = LogitsInFlight::AfterLast;
        }
    }

    /// The first token in flight.
    pub fn first_in_flight(&mut self) -> Option<&mut R> {
        match &mut self.output {
            Output::InFlight(in_flight) => in_flight.chosen.front_mut(),
            _ => None,
        }
    }

    /// The first token in flight is this one. It is a token of the session from now on.
    pub fn accept(&mut self, token: u32) {
        if let Output::InFlight(in_flight) = &mut self.output {
            in_flight.chosen.pop_front();
            in_flight.given = in_flight.given.saturating_add(1);
            // The step that chose it was submitted after the steps of the tokens before it.
            self.settled = self.tokens.len();
            self.tokens.push(token);
        }
    }
}

impl F16Tail {
    /// Positions before `end` are written: each takes the place of the position `len` before it.
    fn evict(&mut self, end: usize) {
        self.first = self.first.max(end.saturating_sub(self.len));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_memory_forgets_what_was_submitted_since() {
        let mut transcript = Transcript::<u32>::new(1, 0);
        transcript.append(&[1, 2, 3]);
        transcript.settle();
        transcript.append(&[4, 5]);
        transcript.set_logits();
        transcript.forget_unsettled();
        assert_eq!(
            (transcript.tokens(), transcript.has_logits()),
            (&[1, 2, 3][..], false)
        );
        // A token that was read tells that those before it are computed.
        transcript.set_logits();
        transcript.begin_choosing(Sampling::greedy());
        for token in [6, 7] {
            transcript.begin_step(transcript.tokens().len() + 1);
            transcript.complete_step(token);
            transcript.accept(token);
        }
        transcript.forget_unsettled();
        assert_eq!(transcript.tokens(), [1, 2, 3, 6]);
        transcript.truncate(2);
        transcript.append(&[8]);
        transcript.forget_unsettled();
        assert_eq!(transcript.tokens(), [1, 2]);
    }
}
