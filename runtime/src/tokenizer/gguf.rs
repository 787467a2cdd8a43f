//! A tokenizer from the metadata of a GGUF file (the `tokenizer.ggml.*` keys).

use super::bpe::merges_from_scores;
use super::json::split_merge;
use super::split::Splitter;
use crate::format::Metadata;

use super::vocab::{Kind, Scheme, SpacePrefix, VocabParts};
use super::{Tokenizer, TokenizerError};

pub(super) const MODEL: &str = "tokenizer.ggml.model";
pub(super) const PRE: &str = "tokenizer.ggml.pre";
pub(super) const TOKENS: &str = "tokenizer.ggml.tokens";
pub(super) const SCORES: &str = "tokenizer.ggml.scores";
pub(super) const MERGES: &str = "tokenizer.ggml.merges";
pub(super) const TYPES: &str = "tokenizer.ggml.token_type";

/// What a GGUF file's metadata says about its tokenizer, key by key, before anything is checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GgufVocab {
    /// `tokenizer.ggml.model`: `gpt2` (byte-level) or `llama` (SentencePiece-style).
    pub model: Option<String>,
    /// `tokenizer.ggml.pre`: how a byte-level tokenizer cuts words.
    pub pre: Option<String>,
    /// `tokenizer.ggml.tokens`: the text of each id.
    pub tokens: Option<Vec<String>>,
    /// `tokenizer.ggml.token_type`: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
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
    /// `tokenizer.ggml.add_bos_token`.
    pub add_bos: Option<bool>,
    /// `tokenizer.ggml.add_space_prefix`: whether SentencePiece-style text gets a space in front.
    pub add_space_prefix: Option<bool>,
}

impl Tokenizer {
    /// Builds the tokenizer from a GGUF file's `tokenizer.ggml.*` keys.
    ///
    /// # Errors
    /// A key has the wrong type; or as [`Tokenizer::from_gguf_vocab`].
    pub fn from_gguf(metadata: &Metadata) -> Result<Self, TokenizerError> {
        let m = metadata;
        let token = |name: &str| m.u32(&format!("tokenizer.ggml.{name}_token_id"));
        Self::from_gguf_vocab(GgufVocab {
            model: m.string(MODEL)?.map(str::to_owned),
            pre: m.string(PRE)?.map(str::to_owned),
            tokens: m.strings(TOKENS)?.map(<[String]>::to_vec),
            types: m.i32s(TYPES)?,
            scores: m.f32s(SCORES)?,
            merges: m.strings(MERGES)?.map(<[String]>::to_vec),
            bos: token("bos")?,
            eos: token("eos")?,
            eot: token("eot")?,
            eom: token("eom")?,
            add_bos: m.bool("tokenizer.ggml.add_bos_token")?,
            add_space_prefix: m.bool("tokenizer.ggml.add_space_prefix")?,
        })
    }

    /// Builds the tokenizer that a GGUF file's metadata describes.
    ///
    /// # Errors
    /// Names the key that is missing, contradictory, or not supported.
    pub fn from_gguf_vocab(vocab: GgufVocab) -> Result<Self, TokenizerError> {
        Self::new(vocab.try_into()?)
    }
}

impl TryFrom<GgufVocab> for VocabParts {
    type Error = TokenizerError;

    fn try_from(vocab: GgufVocab) -> Result<Self, TokenizerError> {
        let tokens = required(TOKENS, vocab.tokens)?;
        let kinds = match vocab.types {
            Some(types) => {
                types.iter().enumerate().map(|(id, &kind)| Kind::from_gguf(id, kind)).collect::<Result<_, _>>()?
            }
            None => vec![Kind::Normal; tokens.len()],
        };
        for (key, id) in [
            ("tokenizer.ggml.bos_token_id", vocab.bos),
            ("tokenizer.ggml.eos_token_id", vocab.eos),
            ("tokenizer.ggml.eot_token_id", vocab.eot),
            ("tokenizer.ggml.eom_token_id", vocab.eom),
        ] {
            if let Some(id) = id.filter(|&id| id as usize >= tokens.len()) {
                let (key, id, tokens) = (key.into(), u64::from(id), tokens.len());
                return Err(TokenizerError::IdOutOfRange { key, id, tokens });
            }
        }
        let (scheme, merges, default_add_bos) = match required(MODEL, vocab.model)?.as_str() {
            "gpt2" => {
                let pre = vocab.pre.unwrap_or_else(|| guess_pre(&tokens).into());
                let splitter = Splitter::named(&pre).ok_or_else(|| TokenizerError::Unsupported {
                    key: PRE.into(),
                    value: pre.clone(),
                    known: Splitter::KNOWN.into(),
                })??;
                let llama3 = matches!(pre.as_str(), "llama-bpe" | "llama3" | "llama-v3");
                let merges = required(MERGES, vocab.merges)?;
                let merges = merges.iter().enumerate().map(|(index, m)| split_merge(index, m));
                let merges = merges.collect::<Result<_, _>>()?;
                let nfc = pre == "qwen2";
                (Scheme::ByteLevel { splitter, nfc, ignore_merges: llama3 }, merges, llama3)
            }
            "llama" => {
                let scores = required(SCORES, vocab.scores)?;
                for (key, len) in [(SCORES, scores.len()), (TYPES, kinds.len())] {
                    if len != tokens.len() {
                        return Err(TokenizerError::Length { key, len, tokens: tokens.len() });
                    }
                }
                let prefix = match vocab.add_space_prefix {
                    Some(false) => SpacePrefix::Never,
                    _ => SpacePrefix::Always,
                };
                let merges = merges_from_scores(&tokens, &kinds, &scores);
                (Scheme::SentencePiece(prefix), merges, true)
            }
            other => {
                return Err(TokenizerError::Unsupported {
                    key: MODEL.into(),
                    value: other.into(),
                    known: "gpt2, llama".into(),
                });
            }
        };
        Ok(Self {
            scheme,
            merges,
            tokens,
            kinds,
            bos: vocab.bos,
            adds_bos: vocab.add_bos.unwrap_or(default_add_bos),
            ends: [vocab.eos, vocab.eot, vocab.eom].into_iter().flatten().collect(),
        })
    }
}

fn required<T>(key: &str, value: Option<T>) -> Result<T, TokenizerError> {
    value.ok_or_else(|| TokenizerError::Missing { key: key.into() })
}

/// How words are cut where the file doesn't say: the first GGUF files of Llama 3 came without the key.
fn guess_pre(tokens: &[String]) -> &'static str {
    let is_llama3 = tokens.iter().any(|text| text == "<|begin_of_text|>");
    if is_llama3 { "llama-bpe" } else { "default" }
}
