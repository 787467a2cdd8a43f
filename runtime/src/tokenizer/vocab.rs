//! The vocabulary: what each id stands for, and the parts a tokenizer is built from.

use std::collections::HashMap;

use super::{TokenizerError, bytes, split::Splitter};

/// The longest token supported, in bytes. Real ones stay below 600; the limit keeps work linear in the file's size.
pub(super) const MAX_TOKEN: usize = 4096;

/// SentencePiece's space.
pub(super) const LOW_LINE: char = '\u{2581}';

/// Texts that end a turn or the whole text in the models Godwit runs. Control tokens with one of these texts are ends
/// even where the metadata names only one of them.
const ENDS: [&str; 9] = [
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|im_end|>",
    "<|endoftext|>",
    "<|end|>",
    "<end_of_turn>",
    "<\u{ff5c}end\u{2581}of\u{2581}sentence\u{ff5c}>",
    "</s>",
];

/// What a token is; the values of `tokenizer.ggml.token_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A piece of text.
    Normal = 1,
    /// Stands for text without tokens.
    Unknown = 2,
    /// Steers the model (`<|eot_id|>`): found only in text that may give orders, never shown.
    Control = 3,
    /// A piece of text that is found as a whole before text is cut into words.
    UserDefined = 4,
    /// A piece of text that training never saw.
    Unused = 5,
    /// One byte, `<0x0A>`.
    Byte = 6,
}

impl Kind {
    pub(super) fn from_gguf(id: usize, kind: i32) -> Result<Self, TokenizerError> {
        Ok(match kind {
            1 => Self::Normal,
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

/// How text becomes pieces that the merges work on.
#[derive(Clone, Debug)]
pub(super) enum Scheme {
    /// Words, spelled in the letters of [`bytes`].
    ByteLevel {
        /// Cuts text into words.
        splitter: Splitter,
        /// Whether text is brought to Unicode normal form C first.
        nfc: bool,
        /// Whether a word that is itself a token needs no merges.
        ignore_merges: bool,
    },
    /// The whole text, with [`LOW_LINE`] for spaces; characters without a token become bytes.
    SentencePiece(SpacePrefix),
}

/// When SentencePiece-style text gets a space in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SpacePrefix {
    /// Never.
    Never,
    /// Every stretch of text: at the start, and after each special token.
    Always,
    /// The start of the text, unless it starts with a space.
    First,
    /// Every stretch of text, unless it starts with a space.
    Missing,
}

/// Everything a tokenizer is built from, as a file gives it. [`super::Tokenizer::new`] checks it.
#[derive(Clone, Debug)]
pub(crate) struct VocabParts {
    pub(super) scheme: Scheme,
    /// The text of each id; empty where an id is not in use.
    pub(super) tokens: Vec<String>,
    /// The kind of each id.
    pub(super) kinds: Vec<Kind>,
    /// Pairs to merge, the most urgent first.
    pub(super) merges: Vec<(String, String)>,
    pub(super) bos: Option<u32>,
    pub(super) adds_bos: bool,
    /// Ids that the file names as ends of a turn or text.
    pub(super) ends: Vec<u32>,
}

/// A checked vocabulary.
#[derive(Debug)]
pub(super) struct Vocab {
    tokens: Vec<String>,
    kinds: Vec<Kind>,
    byte_level: bool,
}

impl Vocab {
    /// Checks the tokens of `parts` and takes them.
    pub(super) fn take(parts: &mut VocabParts) -> Result<Self, TokenizerError> {
        let tokens = std::mem::take(&mut parts.tokens);
        let mut kinds = std::mem::take(&mut parts.kinds);
        let len = kinds.len();
        if len != tokens.len() {
            return Err(TokenizerError::Length { key: "tokenizer.ggml.token_type", len, tokens: tokens.len() });
        }
        let mut seen = HashMap::with_capacity(tokens.len());
        for (id, text) in (0u32..).zip(&tokens) {
            if text.len() > MAX_TOKEN {
                let len = text.len();
                return Err(TokenizerError::TokenTooLong { id, len, max: MAX_TOKEN });
            }
            if text.is_empty() {
                continue;
            }
            if let Some(first) = seen.insert(text.as_str(), id) {
                let text = text.clone();
                return Err(TokenizerError::Duplicate { first, second: id, text });
            }
        }
        for (text, kind) in tokens.iter().zip(&mut kinds) {
            if *kind == Kind::UserDefined && looks_like_control(text) {
                *kind = Kind::Control;
            }
        }
        let byte_level = matches!(parts.scheme, Scheme::ByteLevel { .. });
        let vocab = Self { tokens, kinds, byte_level };
        for id in parts.bos.iter().chain(&parts.ends) {
            if vocab.text(*id).is_none() {
                return Err(TokenizerError::IdOutOfRange {
                    key: "the begin or end token".into(),
                    id: u64::from(*id),
                    tokens: vocab.len(),
                });
            }
        }
        Ok(vocab)
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

    /// The ids that end a turn or the text: `named` by the file, and those with a well-known text. In order, each once.
    pub(super) fn ends(&self, named: &[u32]) -> Vec<u32> {
        let known = self.iter().filter(|(_, text, kind)| kind.is_control() && ENDS.contains(text)).map(|(id, ..)| id);
        let mut ends: Vec<u32> = known.chain(named.iter().copied()).collect();
        ends.sort_unstable();
        ends.dedup();
        ends
    }

    /// Appends the bytes of the text that a token stands for: none for control tokens and ids out of range.
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

/// Some files mark turn markers as user-defined: taken by the word, people could then write them.
fn looks_like_control(text: &str) -> bool {
    ENDS.contains(&text) || text == "<s>" || (text.starts_with("<|") && text.ends_with("|>"))
}
