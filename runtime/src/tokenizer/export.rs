//! A `tokenizer.json` in GGUF's keys, for files that are made of repositories.

use std::collections::HashMap;

use super::json::read_parts;
use super::vocab::{Kind, Scheme, SpacePrefix, VocabParts};
use super::{Tokenizer, TokenizerError, gguf};
use crate::format::{Array, Metadata, Value};

impl Tokenizer {
    /// The `tokenizer.ggml.*` keys of a `tokenizer.json` and the `tokenizer_config.json` beside it. `ends` are further tokens
    /// that end a turn or the text; GGUF has a name for two of them, and knows more by their texts.
    ///
    /// # Errors
    /// As [`Tokenizer::from_json`], and where GGUF has no name for how words are cut.
    pub fn gguf_keys(tokenizer: &[u8], config: Option<&[u8]>, ends: &[u32]) -> Result<Metadata, TokenizerError> {
        let VocabParts { scheme, tokens, kinds, merges, bos, adds_bos, ends: named } = read_parts(tokenizer, config)?;
        let mut metadata = Metadata::new("tokenizer.json");
        let mut add = |key: &str, value: Value| metadata.insert(key.into(), value);
        match &scheme {
            Scheme::ByteLevel { splitter, .. } => {
                let pre = splitter.name().ok_or_else(|| TokenizerError::Unsupported {
                    key: "pre_tokenizer".into(),
                    value: splitter.patterns().join(" then ").chars().take(200).collect(),
                    known: super::split::Splitter::KNOWN.into(),
                })?;
                add(gguf::MODEL, Value::String("gpt2".into()));
                add(gguf::PRE, Value::String(pre.into()));
                let merges = merges.iter().map(|(left, right)| format!("{left} {right}")).collect();
                add(gguf::MERGES, Value::Array(Array::String(merges)));
            }
            Scheme::SentencePiece(prefix) => {
                add(gguf::MODEL, Value::String("llama".into()));
                add("tokenizer.ggml.add_space_prefix", Value::Bool(*prefix != SpacePrefix::Never));
                add(gguf::SCORES, Value::Array(Array::F32(scores(&tokens, &merges))));
            }
        }
        let text = |(id, text): (usize, &String)| if text.is_empty() { format!("[PAD{id}]") } else { text.clone() };
        add(gguf::TOKENS, Value::Array(Array::String(tokens.iter().enumerate().map(text).collect())));
        let kind = |(text, kind): (&String, &Kind)| if text.is_empty() { Kind::Unused as i32 } else { *kind as i32 };
        add(gguf::TYPES, Value::Array(Array::I32(tokens.iter().zip(&kinds).map(kind).collect())));
        if let Some(bos) = bos {
            add("tokenizer.ggml.bos_token_id", Value::U32(bos));
        }
        add("tokenizer.ggml.add_bos_token", Value::Bool(adds_bos));
        if let Some(&eot) = ends.iter().find(|end| !named.contains(end)) {
            add("tokenizer.ggml.eot_token_id", Value::U32(eot));
        }
        Ok(metadata)
    }
}

/// SentencePiece's scores: the earlier a token is made, the higher.
fn scores(tokens: &[String], merges: &[(String, String)]) -> Vec<f32> {
    let mut ranks: HashMap<String, usize> = HashMap::new();
    for (rank, (left, right)) in merges.iter().enumerate() {
        ranks.entry(format!("{left}{right}")).or_insert(rank);
    }
    tokens.iter().map(|text| -(ranks.get(text).copied().unwrap_or(merges.len()) as f32)).collect()
}
