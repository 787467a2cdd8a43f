//! Byte-pair merges: the characters of a piece become tokens, and neighbours merge, best rank
//! first.
//!
//! The rules, and the order of equals, are those of Hugging Face's `tokenizers`; a test compares
//! both. Merges are kept as ids, because a vocabulary of nested tokens would need a multiple of its
//! own size for their texts. A piece of n characters takes O(n log n).

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;

use ahash::AHashMap;

use super::TokenizerError;
use super::vocab::{Kind, Vocab, VocabParts};

/// The index of no symbol.
const NONE: usize = usize::MAX;

/// The rank of a pair, and the token it becomes.
type Ranks = AHashMap<(u32, u32), (u32, u32)>;

/// Merges pieces of text into token ids.
pub(super) struct Bpe {
    /// The tokens of single characters.
    letters: AHashMap<char, u32>,
    /// The tokens `<0x00>` to `<0xFF>`.
    bytes: Box<[Option<u32>; 256]>,
    /// All tokens by their texts, where a piece that is a token needs no merges.
    words: Option<AHashMap<Box<str>, u32>>,
    merges: Ranks,
    unknown: Option<u32>,
    fuse_unknown: bool,
    byte_fallback: bool,
    byte_level: bool,
}

/// The buffers of [`Bpe::encode`], to be used again for the next piece.
#[derive(Default)]
pub(super) struct Buffers {
    symbols: Vec<Symbol>,
    /// Rank, place, and the token that the pair becomes.
    queue: BinaryHeap<Reverse<(u32, usize, u32)>>,
    /// Pairs that ever were in the queue.
    #[cfg(test)]
    queued: usize,
}

/// A token of a piece, in a list linked both ways.
#[derive(Clone, Copy)]
struct Symbol {
    id: u32,
    before: usize,
    after: usize,
    /// Whether it became part of the symbol before it.
    merged: bool,
}

impl Bpe {
    /// Builds the merger of a checked vocabulary. Control tokens are kept out of it, so no text can
    /// become one.
    ///
    /// # Errors
    /// A side or the result of a merge is not a token.
    pub(super) fn new(vocab: &Vocab, parts: &VocabParts) -> Result<Self, TokenizerError> {
        let unknown_text = parts.unknown.and_then(|id| vocab.text(id));
        let mut unknown = None;
        let mut letters = AHashMap::new();
        let mut bytes = Box::new([None; 256]);
        let mut words = parts.scheme.ignore_merges.then(AHashMap::new);
        let known = vocab
            .iter()
            .filter(|(id, _, kind)| !kind.is_control() || parts.unknown == Some(*id));
        for (id, text, _) in known {
            if Some(text) == unknown_text {
                unknown = Some(id);
            }
            let mut all = text.chars();
            if let (Some(letter), None) = (all.next(), all.next()) {
                letters.insert(letter, id);
            }
            if let Some(byte) = super::vocab::byte_token(text)
                && text == format!("<{byte:#04X}>")
            {
                bytes[usize::from(byte)] = Some(id);
            }
            if let Some(words) = &mut words {
                words.insert(text.into(), id);
            }
        }
        Ok(Self {
            letters,
            bytes,
            words,
            merges: ranked(vocab, parts)?,
            unknown,
            fuse_unknown: parts.scheme.fuse_unknown,
            byte_fallback: parts.scheme.byte_fallback,
            byte_level: parts.scheme.byte_level,
        })
    }

    /// Appends the ids of one piece.
    ///
    /// # Errors
    /// A character has no token, nor have its bytes, and there is no unknown token.
    pub(super) fn encode(
        &self,
        piece: &str,
        buffers: &mut Buffers,
        ids: &mut Vec<u32>,
    ) -> Result<(), TokenizerError> {
        if let Some(&id) = self.words.as_ref().and_then(|words| words.get(piece)) {
            ids.push(id);
            return Ok(());
        }
        buffers.symbols.clear();
        buffers.queue.clear();
        self.spell(piece, &mut buffers.symbols)?;
        self.merge(buffers);
        ids.extend(
            buffers
                .symbols
                .iter()
                .filter(|symbol| !symbol.merged)
                .map(|symbol| symbol.id),
        );
        Ok(())
    }

    /// Writes a piece as the tokens of its characters.
    fn spell(&self, piece: &str, symbols: &mut Vec<Symbol>) -> Result<(), TokenizerError> {
        let mut push = |id| {
            let place = symbols.len();
            let before = place.checked_sub(1).unwrap_or(NONE);
            symbols.push(Symbol {
                id,
                before,
                after: place + 1,
                merged: false,
            });
        };
        // A run of unknown characters becomes one token. As in `tokenizers`, bytes in between do
        // not end it, and it is written behind them.
        let mut pending = None;
        for character in piece.chars() {
            if let Some(&id) = self.letters.get(&character) {
                pending.take().into_iter().for_each(&mut push);
                push(id);
                continue;
            }
            let mut buffer = [0; 4];
            let bytes = character.encode_utf8(&mut buffer).bytes();
            let token = |byte: u8| self.bytes[usize::from(byte)].filter(|_| self.byte_fallback);
            let missing = bytes.clone().find(|&byte| token(byte).is_none());
            match (missing, self.unknown) {
                (None, _) => bytes.filter_map(token).for_each(&mut push),
                (Some(_), Some(unknown)) if self.fuse_unknown => pending = Some(unknown),
                (Some(_), Some(unknown)) => {
                    pending.replace(unknown).into_iter().for_each(&mut push)
                }
                // Bytes without a token were looked for before (`Tokenizer::check_bytes`).
                (Some(_), None) if self.byte_level => {}
                (Some(byte), None) => return Err(TokenizerError::NoToken { character, byte }),
            }
        }
        pending.into_iter().for_each(&mut push);
        if let Some(last) = symbols.last_mut() {
            last.after = NONE;
        }
        Ok(())
    }

    /// Merges neighbours until no pair has a rank: the best rank first, the leftmost of equals.
    fn merge(&self, buffers: &mut Buffers) {
        for right in 1..buffers.symbols.len() {
            self.add_pair(buffers, right - 1, right);
        }
        while let Some(Reverse((_, place, becomes))) = buffers.queue.pop() {
            let symbols = &mut buffers.symbols;
            let Symbol {
                id,
                before,
                after,
                merged,
            } = symbols[place];
            if merged || after == NONE {
                continue;
            }
            let right = symbols[after];
            // A neighbour may have changed since the pair came into the queue.
            if self
                .merges
                .get(&(id, right.id))
                .is_none_or(|&(_, now)| now != becomes)
            {
                continue;
            }
            symbols[after].merged = true;
            symbols[place].id = becomes;
            symbols[place].after = right.after;
            if let Some(next) = symbols.get_mut(right.after) {
                next.before = place;
            }
            self.add_pair(buffers, before, place);
            self.add_pair(buffers, place, right.after);
        }
    }

    /// Puts a pair of symbols into the queue, where both exist and merge.
    fn add_pair(&self, buffers: &mut Buffers, left: usize, right: usize) {
        if let (Some(one), Some(other)) = (buffers.symbols.get(left), buffers.symbols.get(right))
            && let Some(&(rank, becomes)) = self.merges.get(&(one.id, other.id))
        {
            buffers.queue.push(Reverse((rank, left, becomes)));
            #[cfg(test)]
            {
                buffers.queued += 1;
            }
        }
    }
}

impl fmt::Debug for Bpe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bpe")
            .field("merges", &self.merges.len())
            .finish_non_exhaustive()
    }
}

/// The merges by their pairs. Merges with a control token or a byte's token are left out: they
/// could only forge one.
fn ranked(vocab: &Vocab, parts: &VocabParts) -> Result<Ranks, TokenizerError> {
    // Of several tokens with one text, the last counts.
    let mut last: AHashMap<&str, u32> = AHashMap::with_capacity(vocab.len());
    last.extend(vocab.iter().map(|(id, text, _)| (text, id)));
    let mut ranked = AHashMap::with_capacity(parts.merges.len());
    let mut rank = 0;
    for (index, merge) in parts.merges.iter().enumerate() {
        let mut ids = [0; 3];
        let mut forges = false;
        for (id, found) in [merge.left, merge.right, merge.result]
            .into_iter()
            .zip(&mut ids)
        {
            let text = vocab.text(id).unwrap_or_default();
            let Some(&last) = last.get(text) else {
                return Err(TokenizerError::Merge {
                    index,
                    merge: format!("{} and {}", merge.left, merge.right),
                    cause: format!("id {id} is not a token"),
                });
            };
            let kind = vocab.kind(last).unwrap_or(Kind::Control);
            forges |= kind.is_control() || kind == Kind::Byte;
            *found = last;
        }
        if !forges {
            let [left, right, result] = ids;
            ranked.insert((left, right), (rank, result));
            rank += 1;
        }
    }
    Ok(ranked)
}
