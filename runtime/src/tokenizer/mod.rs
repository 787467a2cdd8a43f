//! Text to token ids and back.
//!
//! A tokenizer is built from a GGUF file's metadata or from a `tokenizer.json`. Encoding goes: find
//! special tokens (`special`), cut the text between them into words (`split`), spell the words
//! in bytes (`bytes`), merge (`bpe`). Decoding puts the bytes of the tokens together.
//!
//! What people write is encoded with [`Special::Text`]: then no text, whatever it says, becomes a
//! control token.

mod bpe;
pub(crate) mod bytes;
mod encode;
mod error;
mod export;
mod gguf;
mod json;
mod merges;
mod normalize;
mod scan;
mod settle;
mod special;
mod split;
mod stream;
mod vocab;

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

pub use error::TokenizerError;
pub(crate) use export::Beside;
pub use gguf::GgufVocab;
pub use stream::TokenStream;

use bpe::Bpe;
use normalize::normalize;
use special::{Matching, Specials};
use vocab::{Kind, Scheme, Vocab, VocabParts};

/// Whether control tokens such as `<|eot_id|>` are found in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// They are: the text was written by the program, or by someone who may steer the model.
    Parse,
    /// They are text like any other: the text was written by people, or by a model.
    Text,
}

/// Where control tokens may begin in a text.
#[derive(Clone, Copy)]
pub(crate) enum Openings<'a> {
    /// Anywhere.
    All,
    /// At these byte offsets, in ascending order. None: nowhere.
    At(&'a [usize]),
}

/// Turns text into token ids and back.
pub struct Tokenizer {
    vocab: Arc<Vocab>,
    specials: Specials,
    scheme: Scheme,
    bpe: Bpe,
    bos: Option<u32>,
    adds_bos: bool,
    ends: Vec<u32>,
    /// Bytes that a byte-level vocabulary has no token for.
    no_token: Vec<u8>,
    /// The ids that the model has an embedding for: those below it.
    rows: u32,
    notes: Vec<String>,
}

impl Tokenizer {
    /// Builds a tokenizer from its parts, after checking them.
    pub(crate) fn new(mut parts: VocabParts) -> Result<Self, TokenizerError> {
        parts.settle()?;
        let vocab = Vocab::take(&mut parts)?;
        let specials = specials(&vocab, &parts)?;
        let mut has = [!parts.scheme.byte_level || parts.unknown.is_some(); 256];
        for (_, text, kind) in vocab.iter() {
            let mut letters = text.chars();
            if let (Some(letter), None, false) = (letters.next(), letters.next(), kind.is_control())
                && let Some(byte) = bytes::byte(letter)
            {
                has[usize::from(byte)] = true;
            }
        }
        Ok(Self {
            ends: std::mem::take(&mut parts.ends),
            notes: std::mem::take(&mut parts.notes),
            bos: parts.bos,
            adds_bos: parts.adds_bos,
            scheme: parts.scheme.clone(),
            bpe: Bpe::new(&vocab, &parts)?,
            no_token: (0..=255).filter(|&b| !has[usize::from(b)]).collect(),
            specials,
            rows: u32::MAX,
            vocab: Arc::new(vocab),
        })
    }

    /// The same tokenizer for an embedding of so many rows: tokens beyond it are not encoded, and
    /// end nothing.
    ///
    /// # Errors
    /// Every text begins with such a token.
    pub(crate) fn with_rows(mut self, rows: u32) -> Result<Self, TokenizerError> {
        self.rows = rows;
        if self.adds_bos()
            && let Some(bos) = self.bos
        {
            self.check_rows(&[bos])?;
        }
        self.bos.take_if(|bos| *bos >= rows);
        let beyond = |id: &u32| *id >= rows;
        if self.vocab_size() > rows {
            let (count, example) = (
                self.vocab_size() - rows,
                self.token(rows).unwrap_or_default(),
            );
            self.notes.push(format!(
                "{count} of {} tokens are beyond the embedding's {rows} rows, such as {example:?} \
                 ({rows}): they can't \
                 be used",
                self.vocab_size()
            ));
        }
        self.ends.retain(|id| !beyond(id));
        Ok(self)
    }

    /// Notes: each field of the file that is ignored, or used in another way than it states.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The text of `ids`. Control tokens have none; bytes that are no character become U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> String {
        let mut stream = self.stream();
        let mut text: String = ids.iter().map(|&id| stream.push(id)).collect();
        text.push_str(&stream.finish());
        text
    }

    /// Starts decoding a new text token by token.
    pub fn stream(&self) -> TokenStream {
        TokenStream::new(Arc::clone(&self.vocab), self.scheme.strips_space)
    }

    /// Starts decoding token by token what follows on a text already there: a leading space is
    /// kept.
    pub fn stream_on(&self) -> TokenStream {
        TokenStream::new(Arc::clone(&self.vocab), false)
    }

    /// The token that begins a text, where the vocabulary has one.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// The first token that another tokenizer does not have, or has as another text; none where the
    /// same ids mean the same.
    pub fn first_difference(&self, other: &Self) -> Option<u32> {
        let most = self.vocab_size().max(other.vocab_size());
        (0..most).find(|&id| self.token(id) != other.token(id))
    }

    /// Whether the model expects every text to begin with [`Tokenizer::bos`].
    pub fn adds_bos(&self) -> bool {
        self.adds_bos && self.bos.is_some()
    }

    /// Whether the token ends a turn or the text.
    pub fn is_end(&self, id: u32) -> bool {
        self.ends.contains(&id)
    }

    /// All tokens that end a turn or the text, in ascending order.
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// The number of ids.
    pub fn vocab_size(&self) -> u32 {
        self.vocab.len() as u32
    }

    /// The token as the vocabulary spells it (`Ġthe`); none where the id is out of range.
    pub fn token(&self, id: u32) -> Option<&str> {
        self.vocab.text(id)
    }

    /// The bytes of text that a token stands for: none for control tokens. May be part of a
    /// character.
    pub fn token_bytes(&self, id: u32) -> Vec<u8> {
        let mut out = Vec::new();
        self.vocab.append_bytes(id, &mut out);
        out
    }

    /// Whether the token steers the model rather than standing for text.
    pub fn is_control(&self, id: u32) -> bool {
        self.vocab.kind(id).is_some_and(Kind::is_control)
    }

    /// The control token with exactly this text.
    pub fn control(&self, text: &str) -> Option<u32> {
        let (found, id) = self.control_at(text, 0)?;
        (found.end == text.len()).then_some(id)
    }

    /// The control token that starts at byte `at` of `text`; the longest of several.
    pub(crate) fn control_at(&self, text: &str, at: usize) -> Option<(Range<usize>, u32)> {
        let found = self.specials.at(text, at, at)?;
        self.is_control(found.id).then_some((found.own, found.id))
    }
}

/// The tokens that are found as a whole. Of several with one text, control tokens count first, then
/// the last.
fn specials(vocab: &Vocab, parts: &VocabParts) -> Result<Specials, TokenizerError> {
    let rank = |kind: Kind| match kind {
        Kind::Control | Kind::Unknown => 2,
        Kind::UserDefined => 1,
        _ => 0,
    };
    let mut texts: HashMap<&str, (i32, u32)> = HashMap::new();
    for (id, text, kind) in vocab.iter().filter(|&(.., kind)| rank(kind) > 0) {
        let best = texts.entry(text).or_default();
        *best = (*best).max((rank(kind), id));
    }
    let (mut control, mut user) = (Vec::new(), Vec::new());
    for (id, text, kind) in vocab
        .iter()
        .filter(|&(id, text, kind)| texts.get(text) == Some(&(rank(kind), id)))
    {
        let matching = parts.matching.get(&id).copied().unwrap_or_default();
        let list = if kind.is_control() {
            &mut control
        } else {
            &mut user
        };
        list.push((id, text, matching));
    }
    let normal = |(id, text, matching): &(u32, &str, Matching)| match matching.normalized {
        true => normalize(&parts.scheme.normalizer, text)
            .map(|text| (*id, text.into_owned(), *matching)),
        false => Ok((*id, (*text).to_owned(), *matching)),
    };
    let user: Vec<(u32, String, Matching)> = user.iter().map(normal).collect::<Result<_, _>>()?;
    let user: Vec<_> = user
        .iter()
        .filter(|(_, text, _)| !text.is_empty())
        .map(|(id, t, m)| (*id, t.as_str(), *m))
        .collect();
    Specials::new(&control, &user)
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer")
            .field("tokens", &self.vocab.len())
            .field("scheme", &self.scheme)
            .field("bos", &self.bos)
            .field("ends", &self.ends)
            .finish_non_exhaustive()
    }
}
