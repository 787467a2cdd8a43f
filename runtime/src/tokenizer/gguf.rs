//! A tokenizer from the metadata of a GGUF file (the `tokenizer.ggml.*` keys).

use std::collections::HashSet;

use super::json::read_parts;
use super::merges::{Merge, merges_from_scores, split_merge, try_merge_ids};
use super::normalize::Normalizer;
use super::split::Splitter;
use super::vocab::{Kind, LOW_LINE, Scheme, VocabParts};
use super::{Tokenizer, TokenizerError};
use crate::gguf::{Array, Metadata, Value};

pub(super) const MODEL: &str = "tokenizer.ggml.model";
pub(super) const PRE: &str = "tokenizer.ggml.pre";
pub(super) const TOKENS: &str = "tokenizer.ggml.tokens";
pub(super) const SCORES: &str = "tokenizer.ggml.scores";
pub(super) const MERGES: &str = "tokenizer.ggml.merges";
pub(super) const TYPES: &str = "tokenizer.ggml.token_type";

/// The tokenizer's keys of a GGUF file's metadata, not checked yet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GgufVocab {
    /// `tokenizer.ggml.model`: `gpt2` (byte-level) or `llama` (SentencePiece-style).
    pub model: Option<String>,
    /// `tokenizer.ggml.pre`: how a byte-level tokenizer cuts words.
    pub pre: Option<String>,
    /// `tokenizer.ggml.tokens`: the text of each id.
    pub tokens: Option<Vec<String>>,
    /// `tokenizer.ggml.token_type`: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6
    /// byte.
    pub types: Option<Vec<i32>>,
    /// `tokenizer.ggml.scores`: how early a SentencePiece token is made.
    pub scores: Option<Vec<f32>>,
    /// `tokenizer.ggml.merges`: `left right`, the most urgent first.
    pub merges: Option<Vec<String>>,
    /// `tokenizer.ggml.bos_token_id`.
    pub bos: Option<u32>,
    /// `tokenizer.ggml.eos_token_id`.
    pub eos: Option<u32>,
    /// `tokenizer.ggml.eot_token_id`: ends a turn.
    pub eot: Option<u32>,
    /// `tokenizer.ggml.eom_token_id`: ends a message that calls a tool.
    pub eom: Option<u32>,
    /// `tokenizer.godwit.end_token_ids`: further tokens that end a turn or the text.
    pub ends: Vec<u32>,
    /// `tokenizer.ggml.add_bos_token`.
    pub add_bos: Option<bool>,
    /// `tokenizer.ggml.add_space_prefix`: whether SentencePiece-style text gets a space in front.
    pub add_space_prefix: Option<bool>,
}

/// A whole `tokenizer.json`, where the keys above can't express all of it. The key is GGUF's.
pub(super) const HUGGING_FACE: &str = "tokenizer.huggingface.json";
/// All tokens that end a turn or the text, where GGUF's keys name too few. The key is Godwit's.
pub(super) const ENDS: &str = "tokenizer.godwit.end_token_ids";

impl GgufVocab {
    /// Reads the keys that the kind of tokenizer needs; others may have any type.
    pub(super) fn read(m: &Metadata) -> Result<Self, TokenizerError> {
        let token = |name: &str| {
            let key = format!("tokenizer.ggml.{name}_token_id");
            match (m.u32(&key), m.get(&key)) {
                // No id is as large: it is left out like others that no token has.
                (
                    Err(_),
                    Some(
                        Value::I8(_)
                        | Value::I16(_)
                        | Value::I32(_)
                        | Value::I64(_)
                        | Value::U64(_),
                    ),
                ) => Ok(Some(u32::MAX)),
                (id, _) => id,
            }
        };
        let model = m.string(MODEL)?.map(str::to_owned);
        let is = |wanted: &str| model.as_deref() == Some(wanted);
        let (byte_level, sentence_piece) = (is("gpt2"), is("llama"));
        Ok(Self {
            pre: if byte_level {
                m.string(PRE)?.map(str::to_owned)
            } else {
                None
            },
            tokens: token_texts(m)?,
            types: m.i32s(TYPES)?,
            scores: if sentence_piece {
                m.f32s(SCORES)?
            } else {
                None
            },
            merges: match m.strings(MERGES) {
                Err(error) if byte_level => return Err(error.into()),
                merges => merges.ok().flatten().map(<[String]>::to_vec),
            },
            bos: token("bos")?,
            eos: token("eos")?,
            eot: token("eot")?,
            eom: token("eom")?,
            ends: m
                .i32s(ENDS)?
                .unwrap_or_default()
                .into_iter()
                .filter_map(|id| u32::try_from(id).ok())
                .collect(),
            add_bos: m.bool("tokenizer.ggml.add_bos_token")?,
            add_space_prefix: if sentence_piece {
                m.bool("tokenizer.ggml.add_space_prefix")?
            } else {
                None
            },
            model,
        })
    }

    /// Leaves out the merges of which a side or the result is no token, and returns how many.
    fn leave_out_merges(&mut self) -> usize {
        let (Some(tokens), Some(merges)) = (&self.tokens, &mut self.merges) else {
            return 0;
        };
        let known: HashSet<&str> = tokens.iter().map(String::as_str).collect();
        let all = merges.len();
        merges.retain(|merge| {
            // A merge that is no pair is an error, which is reported elsewhere.
            merge.split_once(' ').is_none_or(|(left, right)| {
                let joined = format!("{left}{right}");
                [left, right, &joined]
                    .into_iter()
                    .all(|text| known.contains(text))
            })
        });
        all - merges.len()
    }

    /// All ends that the file names.
    fn named_ends(&self) -> Vec<u32> {
        [self.eos, self.eot, self.eom]
            .into_iter()
            .flatten()
            .chain(self.ends.iter().copied())
            .collect()
    }
}

impl Tokenizer {
    /// Builds the tokenizer from a GGUF file's `tokenizer.ggml.*` keys, or from the
    /// `tokenizer.json` that it holds.
    ///
    /// # Errors
    /// A key has the wrong type; or as [`Tokenizer::from_gguf_vocab`].
    pub fn from_gguf(metadata: &Metadata) -> Result<Self, TokenizerError> {
        Self::new(gguf_parts(metadata)?)
    }

    /// Builds the tokenizer that a GGUF file's metadata describes.
    ///
    /// # Errors
    /// Names the key that is missing, contradictory, or not supported.
    pub fn from_gguf_vocab(vocab: GgufVocab) -> Result<Self, TokenizerError> {
        Self::new(vocab.try_into()?)
    }
}

/// The tokenizer of a GGUF file.
pub(super) fn gguf_parts(metadata: &Metadata) -> Result<VocabParts, TokenizerError> {
    let mut vocab = GgufVocab::read(metadata)?;
    let Some(json) = metadata.string(HUGGING_FACE).ok().flatten() else {
        let damaged = damaged_texts(metadata);
        let left_out = if damaged.is_some() {
            vocab.leave_out_merges()
        } else {
            0
        };
        let mut parts = VocabParts::try_from(vocab)?;
        parts
            .notes
            .extend(damaged.map(|damaged| {
                format!("{damaged}; {left_out} merges that need them are left out")
            }));
        return Ok(parts);
    };
    match read_parts(json.as_bytes(), None, &vocab.named_ends()) {
        Ok(mut parts) => {
            // Files of other tools may name fewer tokens than their own keys do.
            let named = |id: Option<u32>| id.filter(|&id| (id as usize) < parts.tokens.len());
            if vocab.bos.is_some() || vocab.add_bos.is_some() {
                parts.bos = named(vocab.bos);
            }
            parts.adds_bos = vocab.add_bos.unwrap_or(parts.adds_bos);
            parts.notes.push(format!(
                "the tokenizer is the one in `{HUGGING_FACE}`: GGUF's own keys can't say all of it"
            ));
            Ok(parts)
        }
        // The other keys are there too in files of other tools.
        Err(error) => match VocabParts::try_from(vocab) {
            Ok(mut parts) => {
                parts
                    .notes
                    .push(format!("`{HUGGING_FACE}` is not used: {error}"));
                Ok(parts)
            }
            Err(_) => Err(error),
        },
    }
}

impl TryFrom<GgufVocab> for VocabParts {
    type Error = TokenizerError;

    fn try_from(vocab: GgufVocab) -> Result<Self, TokenizerError> {
        let ends = vocab.named_ends();
        let tokens = required(TOKENS, vocab.tokens)?;
        let mut notes = Vec::new();
        let kinds: Vec<Kind> = match vocab.types {
            Some(types) => {
                let undefined = types.iter().filter(|&&kind| kind == 0).count();
                if undefined > 0 {
                    notes.push(format!(
                        "{undefined} tokens have type 0, which is no type: they are ordinary text"
                    ));
                }
                types
                    .iter()
                    .enumerate()
                    .map(|(id, &kind)| Kind::from_gguf(id, kind))
                    .collect::<Result<_, _>>()?
            }
            None => vec![Kind::Normal; tokens.len()],
        };
        let common = Self {
            tokens,
            kinds,
            bos: vocab.bos,
            ends,
            notes,
            ..Self::default()
        };
        match required(MODEL, vocab.model)?.as_str() {
            "gpt2" => {
                let pre = vocab
                    .pre
                    .unwrap_or_else(|| guess_pre(&common.tokens).into());
                let splitter =
                    Splitter::named(&pre).ok_or_else(|| TokenizerError::Unsupported {
                        key: PRE.into(),
                        value: pre.clone(),
                        known: Splitter::KNOWN.into(),
                    })??;
                let llama3 = matches!(pre.as_str(), "llama-bpe" | "llama3" | "llama-v3");
                let merges = required(MERGES, vocab.merges)?;
                let merges = given_merges(&merges, &common.tokens)?;
                let normalizer = if pre == "qwen2" {
                    vec![Normalizer::Nfc]
                } else {
                    Vec::new()
                };
                let scheme = Scheme {
                    splitter,
                    normalizer,
                    byte_level: true,
                    ignore_merges: llama3,
                    ..Scheme::default()
                };
                Ok(Self {
                    scheme,
                    merges,
                    adds_bos: vocab.add_bos.unwrap_or(llama3),
                    ..common
                })
            }
            "llama" => {
                let scores = required(SCORES, vocab.scores)?;
                let tokens = common.tokens.len();
                for (key, len) in [(SCORES, scores.len()), (TYPES, common.kinds.len())] {
                    if len != tokens {
                        return Err(TokenizerError::Length { key, len, tokens });
                    }
                }
                let prefix = vocab.add_space_prefix != Some(false);
                let mut normalizer = vec![Normalizer::low_lines()];
                if prefix {
                    normalizer.insert(0, Normalizer::Prepend(LOW_LINE.into()));
                }
                let unknown = (0..)
                    .zip(&common.kinds)
                    .find(|(_, kind)| **kind == Kind::Unknown)
                    .map(|(id, _)| id);
                let scheme = Scheme {
                    normalizer,
                    byte_fallback: true,
                    fuse_unknown: true,
                    strips_space: prefix,
                    ..Scheme::default()
                };
                let mut notes = common.notes;
                let given = vocab
                    .merges
                    .map(|merges| given_merges(&merges, &common.tokens))
                    .transpose();
                let merges = given.unwrap_or_else(|cause| {
                    notes.push(format!("`{MERGES}` is not used: {cause}"));
                    None
                });
                let merges = match merges {
                    Some(merges) => merges,
                    None => merges_from_scores(&common.tokens, &common.kinds, &scores)?,
                };
                let adds_bos = vocab.add_bos.unwrap_or(true);
                Ok(Self {
                    scheme,
                    merges,
                    unknown,
                    adds_bos,
                    merges_make_all: true,
                    notes,
                    ..common
                })
            }
            other => Err(TokenizerError::Unsupported {
                key: MODEL.into(),
                value: other.into(),
                known: "gpt2, llama".into(),
            }),
        }
    }
}

/// The merges that a file writes as texts. SentencePiece-style vocabularies may have them beside
/// the scores: scores don't say in which order the ways to make one token are tried.
fn given_merges(merges: &[String], tokens: &[String]) -> Result<Vec<Merge>, TokenizerError> {
    try_merge_ids(
        tokens,
        merges
            .iter()
            .enumerate()
            .map(|(index, merge)| split_merge(index, merge)),
    )
}

/// The text of each token. Bytes that are no UTF-8 become U+FFFD.
fn token_texts(metadata: &Metadata) -> Result<Option<Vec<String>>, TokenizerError> {
    match metadata.get(TOKENS) {
        Some(Value::Array(Array::Bytes(texts))) => Ok(Some(
            texts
                .iter()
                .map(|text| String::from_utf8_lossy(text).into_owned())
                .collect(),
        )),
        _ => Ok(metadata.strings(TOKENS)?.map(<[String]>::to_vec)),
    }
}

/// Names the tokens whose text is no UTF-8.
fn damaged_texts(metadata: &Metadata) -> Option<String> {
    let Some(Value::Array(Array::Bytes(texts))) = metadata.get(TOKENS) else {
        return None;
    };
    let damaged = texts
        .iter()
        .enumerate()
        .filter(|(_, text)| std::str::from_utf8(text).is_err());
    let (first, _) = damaged.clone().next()?;
    Some(format!(
        "`{TOKENS}`: the text of {} tokens, from {first}, is not valid UTF-8",
        damaged.count()
    ))
}

fn required<T>(key: &str, value: Option<T>) -> Result<T, TokenizerError> {
    value.ok_or_else(|| TokenizerError::Missing { key: key.into() })
}

/// How words are cut where the file doesn't say: the first GGUF files of Llama 3 came without the
/// key.
fn guess_pre(tokens: &[String]) -> &'static str {
    let is_llama3 = tokens.iter().any(|text| text == "<|begin_of_text|>");
    if is_llama3 { "llama-bpe" } else { "default" }
}
