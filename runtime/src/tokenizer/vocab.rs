//! The vocabulary: the token of each id, and the parts a tokenizer is built from.

use std::collections::BTreeMap;

use super::merges::Merge;
use super::normalize::Normalizer;
use super::special::Matching;
use super::split::Splitter;
use super::{TokenizerError, bytes};

/// The longest token supported, in bytes. Real ones stay below 600; the limit keeps work linear in
/// the file's size.
pub(super) const MAX_TOKEN: usize = 4096;

/// The longest token that is matched as a whole. A search may read as much beyond each match.
const MAX_SPECIAL: usize = 1024;

/// SentencePiece's space.
pub(super) const LOW_LINE: char = '\u{2581}';

/// The kind of a token; the values of `tokenizer.ggml.token_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Ordinary text.
    Normal = 1,
    /// Stands for text without tokens.
    Unknown = 2,
    /// Steers the model (`<|eot_id|>`): found only in text that may give orders, never shown.
    Control = 3,
    /// Text that is found as a whole before the rest is split into words.
    UserDefined = 4,
    /// Text that training never saw.
    Unused = 5,
    /// One byte, `<0x0A>`.
    Byte = 6,
}

impl Kind {
    pub(super) fn from_gguf(id: usize, kind: i32) -> Result<Self, TokenizerError> {
        Ok(match kind {
            // 0 is ggml's "undefined".
            0 | 1 => Self::Normal,
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            5 => Self::Unused,
            6 => Self::Byte,
            _ => return Err(TokenizerError::Kind { id, kind }),
        })
    }

    /// Whether the token is an order to the model rather than text.
    pub(super) fn is_control(self) -> bool {
        matches!(self, Self::Control | Self::Unknown)
    }
}

/// How text becomes tokens, and tokens text.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Scheme {
    /// The normalizers that a text goes through first.
    pub normalizer: Vec<Normalizer>,
    /// Cuts text into the pieces that merges work on, and spells them as the vocabulary does.
    pub splitter: Splitter,
    /// Whether tokens are spelled in the letters of [`bytes`], not with [`LOW_LINE`] for spaces.
    pub byte_level: bool,
    /// Whether a character without a token becomes the tokens of its bytes, `<0x0A>`.
    pub byte_fallback: bool,
    /// Whether neighbouring characters without tokens become one unknown token.
    pub fuse_unknown: bool,
    /// Whether a piece that is itself a token needs no merges.
    pub ignore_merges: bool,
    /// Whether a decoded text loses the space that encoding put in front.
    pub strips_space: bool,
}

/// Everything a tokenizer is built from, as a file gives it. [`super::Tokenizer::new`] checks it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct VocabParts {
    pub(super) scheme: Scheme,
    /// The text of each id; empty where an id is not in use.
    pub(super) tokens: Vec<String>,
    /// The kind of each id.
    pub(super) kinds: Vec<Kind>,
    /// How control and user-defined tokens are found, where that is not the usual way.
    pub(super) matching: BTreeMap<u32, Matching>,
    /// Pairs to merge, the most urgent first.
    pub(super) merges: Vec<Merge>,
    /// The token of characters that have none.
    pub(super) unknown: Option<u32>,
    pub(super) bos: Option<u32>,
    pub(super) adds_bos: bool,
    /// Ids that the file names as ends of a turn or text.
    pub(super) ends: Vec<u32>,
    /// Tokens that the file calls special by name, whatever type it gives them.
    pub(super) special: Vec<u32>,
    /// Whether every token that has parts has merges, as in vocabularies made of scores: then
    /// merges say nothing of it.
    pub(super) merges_make_all: bool,
    /// Notes: each field of the file that is ignored, or used in another way than it states.
    pub(super) notes: Vec<String>,
}

/// A checked vocabulary.
#[derive(Debug)]
pub(super) struct Vocab {
    tokens: Vec<String>,
    kinds: Vec<Kind>,
    byte_level: bool,
}

impl Vocab {
    /// Checks the tokens of settled `parts` and takes them.
    pub(super) fn take(parts: &mut VocabParts) -> Result<Self, TokenizerError> {
        let tokens = std::mem::take(&mut parts.tokens);
        let kinds = std::mem::take(&mut parts.kinds);
        for (id, (text, kind)) in (0u32..).zip(tokens.iter().zip(&kinds)) {
            let is_special = kind.is_control() || *kind == Kind::UserDefined;
            let max = if is_special { MAX_SPECIAL } else { MAX_TOKEN };
            if text.len() > max {
                let len = text.len();
                return Err(TokenizerError::TokenTooLong { id, len, max });
            }
        }
        Ok(Self {
            tokens,
            kinds,
            byte_level: parts.scheme.byte_level,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    pub(super) fn text(&self, id: u32) -> Option<&str> {
        self.tokens.get(id as usize).map(String::as_str)
    }

    pub(super) fn kind(&self, id: u32) -> Option<Kind> {
        self.kinds.get(id as usize).copied()
    }

    /// All tokens that have a text.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &str, Kind)> {
        (0u32..)
            .zip(self.tokens.iter().zip(&self.kinds))
            .filter(|(_, (text, _))| !text.is_empty())
            .map(|(id, (text, kind))| (id, text.as_str(), *kind))
    }

    /// Appends the bytes of the text that a token stands for: none for control tokens and ids out
    /// of range.
    pub(super) fn append_bytes(&self, id: u32, out: &mut Vec<u8>) {
        let (Some(text), Some(kind)) = (self.text(id), self.kind(id)) else {
            return;
        };
        match kind {
            Kind::Control | Kind::Unknown => {}
            Kind::UserDefined => out.extend(text.bytes()),
            _ if self.byte_level => {
                let start = out.len();
                for letter in text.chars() {
                    match bytes::byte(letter) {
                        Some(byte) => out.push(byte),
                        None => {
                            // Not spelled in the alphabet: the text stands for itself.
                            out.truncate(start);
                            return out.extend(text.bytes());
                        }
                    }
                }
            }
            Kind::Byte => match byte_token(text) {
                Some(byte) => out.push(byte),
                None => out.extend(text.bytes()),
            },
            _ => out.extend(text.replace(LOW_LINE, " ").bytes()),
        }
    }
}

/// The byte that `<0x0A>` stands for.
pub(super) fn byte_token(text: &str) -> Option<u8> {
    let hex = text.strip_prefix("<0x")?.strip_suffix('>')?;
    (hex.len() == 2).then(|| u8::from_str_radix(hex, 16).ok())?
}
