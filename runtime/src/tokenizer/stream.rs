//! Decoding token by token.

use std::sync::Arc;

use super::vocab::Vocab;

/// Turns tokens into text one by one, and never hands out part of a character.
///
/// All the pieces together, with [`TokenStream::finish`]'s, are what [`super::Tokenizer::decode`]
/// makes of the same ids.
#[derive(Clone, Debug)]
pub struct TokenStream {
    vocab: Arc<Vocab>,
    /// Bytes of a character whose end hasn't come yet: at most 3 between calls.
    pending: Vec<u8>,
    /// Whether the text's first space is the one that encoding put in front.
    strip: bool,
}

impl TokenStream {
    pub(super) fn new(vocab: Arc<Vocab>, strip: bool) -> Self {
        Self {
            vocab,
            pending: Vec::new(),
            strip,
        }
    }

    /// Takes the next token; returns the characters that are whole by now, which may be none.
    /// Control tokens, and ids outside the vocabulary, have no text.
    pub fn push(&mut self, id: u32) -> String {
        self.vocab.append_bytes(id, &mut self.pending);
        if self.strip && !self.pending.is_empty() {
            self.strip = false;
            if self.pending[0] == b' ' {
                self.pending.remove(0);
            }
        }
        self.take(false)
    }

    /// Ends the text: bytes that never became a character come out as U+FFFD.
    pub fn finish(&mut self) -> String {
        self.take(true)
    }

    fn take(&mut self, end: bool) -> String {
        let mut text = String::with_capacity(self.pending.len());
        let mut kept = 0;
        let mut chunks = self.pending.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            text.push_str(chunk.valid());
            let invalid = chunk.invalid();
            if chunks.peek().is_none() && !end && may_continue(invalid) {
                kept = invalid.len();
            } else if !invalid.is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        self.pending.drain(..self.pending.len() - kept);
        text
    }
}

/// Whether these bytes are the beginning of a character rather than an error.
fn may_continue(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|e| e.error_len().is_none())
}
