//! A `tokenizer.json` in GGUF's keys, for files that are made of repositories.

use std::collections::{HashMap, HashSet};

use serde_json::{Value as Json, json};

use super::bpe::{Bpe, Buffers};
use super::gguf::{self, gguf_parts};
use super::json::read_parts;
use super::merges::{Merge, merges_from_scores};
use super::settle::placeholder;
use super::special::Matching;
use super::vocab::{Kind, Vocab, VocabParts};
use super::{Tokenizer, TokenizerError};
use crate::gguf::{Array, Metadata, Value};

/// The value of `tokenizer.ggml.pre` for a split that GGUF has no name for. Programs that know
/// names alone refuse it.
const NO_NAME: &str = "tokenizer.huggingface.json";

/// A repository's statements about its tokenizer, outside the tokenizer's files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beside<'a> {
    /// Further tokens that end a turn or the text.
    pub ends: &'a [u32],
    /// The value of `tokenizer.ggml.eos_token_id`.
    pub eos: Option<u32>,
    /// The rows of the embedding, where there is one.
    pub rows: Option<u32>,
}

impl Tokenizer {
    /// The `tokenizer.ggml.*` keys of a `tokenizer.json` and the `tokenizer_config.json` beside it,
    /// one token for each row of the embedding. Where they can't say all of it, the whole
    /// `tokenizer.json` is among the keys.
    ///
    /// # Errors
    /// As [`Tokenizer::from_json`], and where a reader of the keys would see another tokenizer.
    pub(crate) fn gguf_keys(
        tokenizer: &[u8],
        config: Option<&[u8]>,
        beside: Beside<'_>,
    ) -> Result<Metadata, TokenizerError> {
        let mut parts = read_parts(tokenizer, config, beside.ends)?;
        parts.ends.extend(beside.eos);
        parts.settle()?;
        let rows = beside.rows.unwrap_or(parts.tokens.len() as u32);
        let mut keys = keys(&parts, beside.eos, rows);
        let lost = lost(&parts, &keys, beside.eos, rows);
        if lost.is_empty() {
            return Ok(keys);
        }
        if parts.scheme.byte_level && lost.iter().any(|what| PLAIN_TEXT.contains(what)) {
            keys = replaced(&keys, gguf::PRE, NO_NAME);
        }
        keys.insert(
            gguf::HUGGING_FACE.into(),
            Value::String(whole(tokenizer, &parts)?),
        );
        let still_lost = self::lost(&parts, &keys, beside.eos, rows);
        if !still_lost.is_empty() {
            return Err(TokenizerError::Unsupported {
                key: "tokenizer.json".into(),
                value: format!(
                    "a tokenizer of which a GGUF file can't hold {}",
                    still_lost.join(", ")
                ),
                known: "tokenizers that a GGUF file can hold; use the repository, with --quant"
                    .into(),
            });
        }
        tracing::warn!(
            "GGUF's own keys can't say all of the tokenizer ({}): the file holds tokenizer.json \
             too. Programs that don't \
             read it refuse the file, or cut text differently",
            lost.join(", ")
        );
        Ok(keys)
    }
}

/// The parts without which plain text becomes other tokens.
const PLAIN_TEXT: [&str; 5] = [
    "its normalizer",
    "its pre-tokenizer",
    "ignore_merges",
    "unknown characters",
    "its merges",
];

fn keys(parts: &VocabParts, eos: Option<u32>, rows: u32) -> Metadata {
    let mut metadata = Metadata::new("tokenizer.json");
    let mut add = |key: &str, value: Value| metadata.insert(key.into(), value);
    let scheme = &parts.scheme;
    let texts = |merge: &Merge| (parts.text(merge.left), parts.text(merge.right));
    let merges = || {
        parts
            .merges
            .iter()
            .map(texts)
            .map(|(left, right)| format!("{left} {right}"))
            .collect()
    };
    if scheme.byte_level {
        add(gguf::MODEL, Value::String("gpt2".into()));
        add(
            gguf::PRE,
            Value::String(scheme.splitter.name().unwrap_or(NO_NAME).into()),
        );
        add(gguf::MERGES, Value::Array(Array::String(merges())));
    } else {
        add(gguf::MODEL, Value::String("llama".into()));
        add(
            "tokenizer.ggml.add_space_prefix",
            Value::Bool(scheme.strips_space),
        );
    }
    // llama.cpp wants one token for each row, and no more. Merges need theirs.
    let rows = rows as usize;
    let first_beyond: HashSet<&str> = parts.tokens.iter().skip(rows).map(String::as_str).collect();
    let needed = |merge: &Merge| {
        [merge.left, merge.right, merge.result]
            .iter()
            .any(|&id| first_beyond.contains(parts.text(id)))
    };
    let len = if parts.merges.iter().any(needed) {
        parts.tokens.len()
    } else {
        rows
    };
    let token = |id: usize| {
        parts
            .tokens
            .get(id)
            .filter(|text| !text.is_empty())
            .zip(parts.kinds.get(id))
    };
    let text = |id: usize| token(id).map_or_else(|| placeholder(id), |(text, _)| text.clone());
    let tokens: Vec<String> = (0..len).map(text).collect();
    let kind = |id: usize| token(id).map_or(Kind::Unused, |(_, kind)| *kind);
    let kinds: Vec<Kind> = (0..len).map(kind).collect();
    if !scheme.byte_level {
        let scores = scores(&tokens, parts);
        // Scores don't say in which order the ways to make one token are tried.
        let guessed = merges_from_scores(&tokens, &kinds, &scores);
        let text = |id: u32| tokens.get(id as usize).map_or("", String::as_str);
        let is_same = guessed.is_ok_and(|guessed| {
            parts.text_merges().eq(guessed
                .iter()
                .map(|merge| (text(merge.left), text(merge.right))))
        });
        if !is_same {
            add(gguf::MERGES, Value::Array(Array::String(merges())));
        }
        add(gguf::SCORES, Value::Array(Array::F32(scores)));
    }
    add(gguf::TOKENS, Value::Array(Array::String(tokens)));
    add(
        gguf::TYPES,
        Value::Array(Array::I32(kinds.iter().map(|kind| *kind as i32).collect())),
    );
    let inside = |id: &u32| (*id as usize) < len;
    if let Some(bos) = parts.bos.filter(inside) {
        add("tokenizer.ggml.bos_token_id", Value::U32(bos));
    }
    add("tokenizer.ggml.add_bos_token", Value::Bool(parts.adds_bos));
    let unknown = (0..)
        .zip(&parts.kinds)
        .find(|(_, kind)| **kind == Kind::Unknown)
        .map(|(id, _)| id);
    if let Some(unknown) = unknown.filter(inside) {
        add("tokenizer.ggml.unknown_token_id", Value::U32(unknown));
    }
    // Readers know some end tokens by their texts, and one by its key.
    let unnamed = |id: &&u32| Some(**id) != eos && !parts.is_known_end(**id);
    let mut unnamed = parts.ends.iter().filter(|id| inside(id)).filter(unnamed);
    if let Some(&eot) = unnamed.next() {
        add("tokenizer.ggml.eot_token_id", Value::U32(eot));
    }
    if unnamed.next().is_some() {
        let ends = parts.ends.iter().filter(|id| inside(id)).copied().collect();
        add(gguf::ENDS, Value::Array(Array::U32(ends)));
    }
    metadata
}

/// SentencePiece's scores: the earlier a token is made, the higher.
fn scores(tokens: &[String], parts: &VocabParts) -> Vec<f32> {
    let mut ranks: HashMap<&str, usize> = HashMap::new();
    for (rank, merge) in parts.merges.iter().enumerate() {
        ranks.entry(parts.text(merge.result)).or_insert(rank);
    }
    let last = parts.merges.len();
    tokens
        .iter()
        .map(|text| -(ranks.get(text.as_str()).copied().unwrap_or(last) as f32))
        .collect()
}

/// The differences that a reader of the keys alone would see, in words.
fn lost(parts: &VocabParts, keys: &Metadata, eos: Option<u32>, rows: u32) -> Vec<&'static str> {
    let mut keys = keys.clone();
    if let Some(eos) = eos {
        keys.insert("tokenizer.ggml.eos_token_id".into(), Value::U32(eos));
    }
    let read = gguf_parts(&keys).and_then(|mut read| read.settle().map(|()| read));
    let Ok(read) = read else {
        return vec!["its pre-tokenizer"];
    };
    let (ours, theirs) = (&parts.scheme, &read.scheme);
    let size = parts.tokens.len().max(read.tokens.len()).min(rows as usize);
    let token = |parts: &VocabParts, id: usize| {
        let text = parts.tokens.get(id).filter(|text| !text.is_empty())?;
        Some((text.clone(), *parts.kinds.get(id)?))
    };
    let inside = |id: &u32| *id < rows;
    let ends = |parts: &VocabParts| {
        parts
            .ends
            .iter()
            .copied()
            .filter(inside)
            .collect::<Vec<_>>()
    };
    let matching = |parts: &VocabParts| -> Vec<(u32, Matching)> {
        parts
            .matching
            .iter()
            .map(|(&id, &matching)| (id, matching))
            .filter(|(id, _)| inside(id))
            .collect()
    };
    let checks = [
        ("its normalizer", ours.normalizer == theirs.normalizer),
        (
            "its pre-tokenizer",
            (&ours.splitter, ours.byte_level) == (&theirs.splitter, theirs.byte_level),
        ),
        (
            "ignore_merges",
            ours.ignore_merges == theirs.ignore_merges || merges_reach_all(parts),
        ),
        (
            "unknown characters",
            (ours.byte_fallback, ours.fuse_unknown, parts.unknown)
                == (theirs.byte_fallback, theirs.fuse_unknown, read.unknown),
        ),
        ("its merges", parts.text_merges().eq(read.text_merges())),
        (
            "the space in front of a decoded text",
            ours.strips_space == theirs.strips_space,
        ),
        (
            "its tokens",
            (0..size).all(|id| token(parts, id) == token(&read, id)),
        ),
        (
            "how added tokens are found",
            matching(parts) == matching(&read),
        ),
        (
            "its begin-of-text token",
            (parts.bos.filter(inside), parts.adds_bos) == (read.bos.filter(inside), read.adds_bos),
        ),
        ("its end tokens", ends(parts) == ends(&read)),
    ];
    checks
        .into_iter()
        .filter(|(_, same)| !same)
        .map(|(what, _)| what)
        .collect()
}

/// Whether merges make each token of its own text: then it does not matter if a word that is a
/// token needs none.
fn merges_reach_all(parts: &VocabParts) -> bool {
    let mut parts = parts.clone();
    parts.scheme.ignore_merges = false;
    let Ok(vocab) = Vocab::take(&mut parts) else {
        return false;
    };
    let Ok(bpe) = Bpe::new(&vocab, &parts) else {
        return false;
    };
    let (mut ids, mut buffers) = (Vec::new(), Buffers::default());
    vocab
        .iter()
        .filter(|(.., kind)| *kind == Kind::Normal)
        .all(|(id, text, _)| {
            ids.clear();
            bpe.encode(text, &mut buffers, &mut ids).is_ok() && ids == [id]
        })
}

/// The `tokenizer.json` with its added tokens as they are treated: `tokenizer_config.json` says
/// some of it.
fn whole(tokenizer: &[u8], parts: &VocabParts) -> Result<String, TokenizerError> {
    let wrong = |e: serde_json::Error| TokenizerError::Json {
        cause: e.to_string(),
    };
    let mut json: Json =
        serde_json::from_slice(super::json::without_bom(tokenizer)).map_err(wrong)?;
    let added = (0_u32..).zip(parts.tokens.iter().zip(&parts.kinds));
    let added = added.filter(|(_, (text, kind))| {
        !text.is_empty() && (kind.is_control() || **kind == Kind::UserDefined)
    });
    let added: Vec<Json> = added
        .map(|(id, (text, kind))| {
            let Matching {
                single_word,
                lstrip,
                rstrip,
                normalized,
            } = parts.matching.get(&id).copied().unwrap_or_default();
            json!({
                "id": id, "content": text, "special": kind.is_control(), "single_word": single_word,
                "lstrip": lstrip, "rstrip": rstrip, "normalized": normalized,
            })
        })
        .collect();
    json["added_tokens"] = added.into();
    Ok(json.to_string())
}

/// The same keys, one of them with another text.
fn replaced(keys: &Metadata, key: &str, text: &str) -> Metadata {
    let mut replaced = Metadata::new(keys.file());
    for (name, value) in keys.iter() {
        let value = if name == key {
            Value::String(text.into())
        } else {
            value.clone()
        };
        replaced.insert(name.into(), value);
    }
    replaced
}
