//! Requests: a prompt and the reply to it.

use crate::generation::{FinishReason, Piece, Reply};
use crate::sampling::Sampling;
use crate::setters::setters;
use crate::speculation::{Speculated, Speculation};

use super::draft::Drafter;
use super::sequence::SequenceId;

/// A request of a [`Scheduler`](super::Scheduler). Ids are not given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub(super) u64);

/// A prompt, and how the reply to it is generated.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Request {
    /// Tokens that are appended to the sequence before the reply.
    pub prompt: Vec<u32>,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Tokens of the reply at most; the one that ends the turn counts. 0: the prompt is computed,
    /// and no reply.
    pub max_tokens: usize,
    /// Strings that end the reply, and are no part of it.
    pub stop: Vec<String>,
    /// How many of the most likely tokens come with each token, with their log-probabilities; at
    /// most 20. None: no log-probabilities.
    pub log_probs: Option<u32>,
    /// Whether further tokens are guessed, and computed together with the next one. They come from
    /// a place in the text where at least six of the newest tokens came up before; else from the
    /// draft model, where there is one ([`Scheduler::with_draft`](super::Scheduler::with_draft));
    /// else from any place where three did. While the draft model has more than 16 tokens to read,
    /// the reply goes on without its guesses.
    pub speculation: Speculation,
}

impl Request {
    /// A request for a reply to `prompt`, with the default sampling and no limit but the context.
    pub fn new(prompt: Vec<u32>) -> Self {
        Self {
            prompt,
            sampling: Sampling::default(),
            max_tokens: usize::MAX,
            stop: Vec::new(),
            log_probs: None,
            speculation: Speculation::Off,
        }
    }
}

setters! { Request {
    prompt: Vec<u32>,
    sampling: Sampling,
    max_tokens: usize,
    stop: Vec<String>,
    log_probs: Option<u32>,
    speculation: Speculation,
} }

/// Tokens of a request, by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Those of them that were found in the cache.
    pub cached_tokens: usize,
    /// Tokens of the reply.
    pub completion_tokens: usize,
    /// Tokens that were guessed, and guesses that were right.
    pub speculated: Speculated,
}

/// What happened since the caller looked last.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A part of a reply.
    Piece {
        /// The request.
        request: RequestId,
        /// A token, and the text that is certain with it.
        piece: Piece,
        /// The token's log-probability and those of the most likely tokens, where the request asks
        /// for them.
        log_probs: Option<LogProbs>,
    },
    /// A reply ended. Nothing follows for this request.
    Finished {
        /// The request.
        request: RequestId,
        /// Why.
        reason: FinishReason,
        /// What it took.
        usage: Usage,
    },
    /// A request failed. Nothing follows for it. Its sequence can be used.
    Failed {
        /// The request.
        request: RequestId,
        /// Why.
        error: crate::error::Error,
    },
}

/// Log-probabilities after penalties and biases, before temperature and what leaves out tokens.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct LogProbs {
    /// Of the token that was chosen.
    pub chosen: f32,
    /// The most likely tokens in descending order, each with its log-probability.
    pub top: Vec<(u32, f32)>,
}

/// A request that has not ended.
#[derive(Debug)]
pub(super) struct Ongoing {
    pub sequence: SequenceId,
    pub sampling: Sampling,
    pub log_probs: Option<u32>,
    /// What is to be appended when the request starts.
    pub prompt: Vec<u32>,
    pub reply: Reply,
    pub usage: Usage,
    pub state: State,
    /// The entry, in the buffer of chosen tokens, of its newest token in flight.
    pub chosen: u32,
    pub drafter: Option<Drafter>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Its turn has not come, or it was interrupted.
    Waiting,
    /// It takes part in steps. Steps in flight choose its next `in_flight` tokens.
    Running { in_flight: usize },
}
