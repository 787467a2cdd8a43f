//! What makes a reply of tokens: whole characters, stop strings, and the rules that end it.

use super::stops::Stops;
use crate::gpu::GpuError;
use crate::tokenizer::{TokenStream, Tokenizer};

/// Why a reply ended.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum FinishReason {
    /// The model ended its turn.
    EndOfTurn,
    /// A stop string came; it is not part of the text.
    StopString,
    /// As many tokens as were asked for.
    Length,
    /// The context is full.
    Context,
    /// The GPU has no memory for another token.
    Memory(GpuError),
    /// The caller ended it: [`Generation::cancel`](super::Generation::cancel).
    Cancelled,
}

/// A part of a reply: a token, and the text that is certain with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Piece {
    /// The token; none where only text that was held back comes.
    pub token: Option<u32>,
    /// Whole characters that belong to the reply whatever comes next; may be empty. All pieces
    /// together are the reply's text.
    pub text: String,
}

/// A reply as far as it has come.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    stream: TokenStream,
    stops: Stops,
    max_tokens: usize,
    tokens: Vec<u32>,
    text: String,
    finish_reason: Option<FinishReason>,
}

impl Reply {
    /// A reply of at most `max_tokens` that ends before the first of the stop strings.
    pub fn new(tokenizer: &Tokenizer, max_tokens: usize, stop: Vec<String>) -> Self {
        Self {
            stream: tokenizer.stream_on(),
            stops: Stops::new(stop),
            max_tokens,
            tokens: Vec::new(),
            text: String::new(),
            finish_reason: (max_tokens == 0).then_some(FinishReason::Length),
        }
    }

    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn finish_reason(&self) -> Option<&FinishReason> {
        self.finish_reason.as_ref()
    }

    /// Takes the next token; returns the text that is certain with it, and ends the reply where a
    /// rule says so.
    pub fn push(&mut self, tokenizer: &Tokenizer, token: u32) -> Piece {
        self.tokens.push(token);
        let mut text = String::new();
        if tokenizer.is_end(token) {
            self.finish_reason = Some(FinishReason::EndOfTurn);
        } else {
            let decoded = self.stream.push(token);
            self.find_stop(&decoded, &mut text);
            if self.finish_reason.is_none() && self.tokens.len() >= self.max_tokens {
                self.finish_reason = Some(FinishReason::Length);
            }
        }
        if self.finish_reason.is_some() {
            self.release(&mut text);
        }
        self.text.push_str(&text);
        let token = Some(token);
        Piece { token, text }
    }

    /// Ends the reply. Returns the text that was held back, if there is any.
    pub fn finish(&mut self, reason: FinishReason) -> Option<Piece> {
        self.finish_reason = Some(reason);
        let text = self.take_rest();
        (!text.is_empty()).then_some(Piece { token: None, text })
    }

    /// Ends the reply because the caller wants no more. Returns the text that was held back.
    pub fn cancel(&mut self) -> String {
        self.finish_reason.get_or_insert(FinishReason::Cancelled);
        self.take_rest()
    }

    /// The text that was held back: the beginning of a character, or of a stop string.
    fn take_rest(&mut self) -> String {
        let mut text = String::new();
        self.release(&mut text);
        self.text.push_str(&text);
        text
    }

    /// Appends to `certain` what no stop string can contain any more. Ends the reply at a stop
    /// string.
    fn find_stop(&mut self, decoded: &str, certain: &mut String) {
        let (text, is_stopped) = self.stops.push(decoded);
        certain.push_str(&text);
        if is_stopped {
            self.finish_reason = Some(FinishReason::StopString);
        }
    }

    /// Appends all that was held back, unless a stop string hides it.
    fn release(&mut self, text: &mut String) {
        if self.finish_reason == Some(FinishReason::StopString) {
            return;
        }
        let last = self.stream.finish();
        let (certain, is_stopped) = self.stops.push(&last);
        text.push_str(&certain);
        if is_stopped {
            self.finish_reason = Some(FinishReason::StopString);
        } else {
            text.push_str(&self.stops.take_rest());
        }
    }
}
