//! Text to token ids and back.
//!
//! A tokenizer is built from a GGUF file's metadata or from a `tokenizer.json`. Encoding goes: find special tokens
//! ([`special`]), cut the text between them into words ([`split`]), spell the words in bytes ([`bytes`]), merge
//! ([`bpe`]). Decoding puts the bytes of the tokens together.
//!
//! What people write is encoded with [`Special::Text`]: then no text, whatever it says, becomes a control token.

mod bpe;
pub(crate) mod bytes;
mod error;
mod export;
mod gguf;
mod json;
mod special;
mod split;
mod stream;
mod vocab;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use tokenizers::{NormalizedString, Normalizer, normalizers::unicode::NFC};

pub use error::TokenizerError;
pub use gguf::GgufVocab;
pub use stream::TokenStream;

use bpe::Bpe;
use special::Specials;
use vocab::{Kind, LOW_LINE, Scheme, SpacePrefix, Vocab, VocabParts};

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
}

impl Tokenizer {
    /// Builds a tokenizer from its parts, after checking them.
    pub(crate) fn new(mut parts: VocabParts) -> Result<Self, TokenizerError> {
        let vocab = Vocab::take(&mut parts)?;
        let of_kind = |wanted: fn(Kind) -> bool| -> Vec<_> {
            vocab.iter().filter(|(.., kind)| wanted(*kind)).map(|(id, text, _)| (id, text)).collect()
        };
        let specials = Specials::new(&of_kind(Kind::is_control), &of_kind(|kind| kind == Kind::UserDefined))?;
        let byte_level = matches!(parts.scheme, Scheme::ByteLevel { .. });
        let mut has = [!byte_level; 256];
        for (_, text, kind) in vocab.iter() {
            let mut letters = text.chars();
            if let (Some(letter), None, false) = (letters.next(), letters.next(), kind.is_control())
                && let Some(byte) = bytes::byte(letter)
            {
                has[usize::from(byte)] = true;
            }
        }
        Ok(Self {
            ends: vocab.ends(&parts.ends),
            bos: parts.bos,
            adds_bos: parts.adds_bos,
            scheme: parts.scheme.clone(),
            bpe: Bpe::new(&vocab, parts)?,
            no_token: (0..=255).filter(|&b| !has[usize::from(b)]).collect(),
            specials,
            vocab: Arc::new(vocab),
        })
    }

    /// The same tokenizer, where these tokens end a turn or the text too.
    ///
    /// # Errors
    /// One of them is beyond the vocabulary.
    pub fn with_ends(mut self, ids: &[u32]) -> Result<Self, TokenizerError> {
        let tokens = self.vocab.len();
        if let Some(&id) = ids.iter().find(|&&id| id as usize >= tokens) {
            return Err(TokenizerError::IdOutOfRange { key: "eos_token_id".into(), id: id.into(), tokens });
        }
        self.ends.extend(ids);
        self.ends.sort_unstable();
        self.ends.dedup();
        Ok(self)
    }

    /// The ids of `text`. The begin-of-text token is not added.
    ///
    /// Characters that carry no text (control characters, and code points from U+40000 that Unicode leaves to private
    /// use) are dropped where the vocabulary has no token for their bytes, as the reference tokenizers do.
    ///
    /// # Errors
    /// [`TokenizerError::NoToken`] where the vocabulary has no token for a byte of any other character.
    pub fn encode(&self, text: &str, special: Special) -> Result<Vec<u32>, TokenizerError> {
        self.encode_at(
            text,
            match special {
                Special::Parse => Openings::All,
                Special::Text => Openings::At(&[]),
            },
        )
    }

    /// The ids of `text`, with control tokens only where they may begin. User-defined tokens are found everywhere.
    pub(crate) fn encode_at(&self, text: &str, openings: Openings<'_>) -> Result<Vec<u32>, TokenizerError> {
        self.check_bytes(text)?;
        let mut ids = Vec::with_capacity(text.len() / 3);
        let mut done = 0;
        match openings {
            Openings::All => {
                while let Some((found, id)) = self.specials.find(text, done..text.len()) {
                    self.plain(text, done..found.start, &mut ids)?;
                    ids.push(id);
                    done = found.end;
                }
                self.plain(text, done..text.len(), &mut ids)?;
            }
            Openings::At(openings) => {
                for &at in openings.iter().filter(|&&at| text.is_char_boundary(at)) {
                    if at >= done
                        && let Some((found, id)) = self.specials.at(text, at)
                    {
                        self.without_control(text, done..at, &mut ids)?;
                        ids.push(id);
                        done = found.end;
                    }
                }
                self.without_control(text, done..text.len(), &mut ids)?;
            }
        }
        Ok(ids)
    }

    fn without_control(&self, text: &str, range: Range<usize>, ids: &mut Vec<u32>) -> Result<(), TokenizerError> {
        let mut done = range.start;
        while let Some((found, id)) = self.specials.find_user(text, done..range.end) {
            self.plain(text, done..found.start, ids)?;
            ids.push(id);
            done = found.end;
        }
        self.plain(text, done..range.end, ids)
    }

    /// Encodes a stretch without any special token in it.
    fn plain(&self, text: &str, range: Range<usize>, ids: &mut Vec<u32>) -> Result<(), TokenizerError> {
        if range.is_empty() {
            return Ok(());
        }
        let first = range.start == 0;
        let text = &text[range];
        match &self.scheme {
            Scheme::ByteLevel { splitter, nfc, .. } => {
                let text = if *nfc { compose(text)? } else { text.into() };
                let mut spelled = String::new();
                splitter.each(&text, &mut |word| {
                    spelled.clear();
                    spelled.extend(word.bytes().map(bytes::letter));
                    self.bpe.encode(&spelled, ids)
                })
            }
            Scheme::SentencePiece(prefix) => {
                let add = match prefix {
                    SpacePrefix::Never => false,
                    SpacePrefix::Always => true,
                    SpacePrefix::First => first && !text.starts_with([' ', LOW_LINE]),
                    SpacePrefix::Missing => !text.starts_with([' ', LOW_LINE]),
                };
                let mut spelled = String::with_capacity(text.len() + text.len() / 4 + 3);
                spelled.extend(add.then_some(LOW_LINE));
                spelled.extend(text.chars().map(|c| if c == ' ' { LOW_LINE } else { c }));
                self.bpe.encode(&spelled, ids)
            }
        }
    }

    fn check_bytes(&self, text: &str) -> Result<(), TokenizerError> {
        if self.no_token.is_empty() {
            return Ok(());
        }
        let carries_text = |c: char| !c.is_control() && c < '\u{40000}';
        for character in text.chars().filter(|&c| carries_text(c) || c.is_whitespace()) {
            let mut buffer = [0; 4];
            for byte in character.encode_utf8(&mut buffer).bytes() {
                if self.no_token.contains(&byte) {
                    return Err(TokenizerError::NoToken { character, byte });
                }
            }
        }
        Ok(())
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
        let strip = !matches!(self.scheme, Scheme::ByteLevel { .. } | Scheme::SentencePiece(SpacePrefix::Never));
        TokenStream::new(Arc::clone(&self.vocab), strip)
    }

    /// Starts decoding token by token what follows on a text already there: a leading space is kept.
    pub fn stream_on(&self) -> TokenStream {
        TokenStream::new(Arc::clone(&self.vocab), false)
    }

    /// The token that begins a text, where the vocabulary has one.
    pub fn bos(&self) -> Option<u32> {
        self.bos
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

    /// The bytes of text that a token stands for: none for control tokens. May be part of a character.
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
        self.specials.at(text, at).filter(|&(_, id)| self.is_control(id))
    }
}

/// Unicode normal form C.
fn compose(text: &str) -> Result<Cow<'_, str>, TokenizerError> {
    if text.is_ascii() {
        return Ok(text.into());
    }
    let mut normal = NormalizedString::from(text);
    match NFC.normalize(&mut normal) {
        Ok(()) => Ok(normal.get().to_owned().into()),
        Err(e) => Err(TokenizerError::Encoder { fault: e.to_string() }),
    }
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
