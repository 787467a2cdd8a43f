//! A tokenizer from a `tokenizer.json`, the format of Hugging Face's `tokenizers`.
//!
//! Read here are the parts that Llama-architecture models use: byte-pair merges, byte-level or SentencePiece-style.
//! Anything else is an error that says so, never a tokenizer that is slightly wrong.

use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

use super::split::Splitter;
use super::vocab::{Kind, Scheme, SpacePrefix, VocabParts, byte_token};
use super::{Tokenizer, TokenizerError};

#[derive(Deserialize)]
struct File {
    model: Model,
    #[serde(default)]
    added_tokens: Vec<Added>,
    normalizer: Option<Value>,
    pre_tokenizer: Option<Value>,
    post_processor: Option<Value>,
}

#[derive(Deserialize)]
struct Model {
    #[serde(rename = "type")]
    kind: Option<String>,
    vocab: BTreeMap<String, u32>,
    merges: Vec<Merge>,
    #[serde(default)]
    byte_fallback: bool,
    #[serde(default)]
    ignore_merges: bool,
    unk_token: Option<String>,
    dropout: Option<f32>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
}

/// A merge is `"a b"` in older files, `["a", "b"]` in newer ones.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Joined(String),
    Pair(String, String),
}

#[derive(Deserialize)]
struct Added {
    id: u32,
    content: String,
    #[serde(default)]
    special: bool,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
}

/// What matters of a `tokenizer_config.json`.
#[derive(Default, Deserialize)]
struct Config {
    bos_token: Option<Text>,
    eos_token: Option<Text>,
    add_bos_token: Option<bool>,
}

/// A token's text, alone or with its properties.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Alone(String),
    Token { content: String },
}

impl Text {
    fn as_str(&self) -> &str {
        match self {
            Self::Alone(text) | Self::Token { content: text } => text,
        }
    }
}

/// What begins a text where no `tokenizer_config.json` says so.
const BEGINS: [&str; 2] = ["<|begin_of_text|>", "<s>"];

impl Tokenizer {
    /// Builds the tokenizer of a `tokenizer.json`, and of the `tokenizer_config.json` beside it where there is one: it
    /// names the tokens that begin and end a text.
    ///
    /// # Errors
    /// Says what is missing, contradictory, or not supported.
    pub fn from_json(tokenizer: &[u8], config: Option<&[u8]>) -> Result<Self, TokenizerError> {
        Self::new(read_parts(tokenizer, config)?)
    }
}

pub(super) fn read_parts(tokenizer: &[u8], config: Option<&[u8]>) -> Result<VocabParts, TokenizerError> {
    let file: File = parse("tokenizer.json", tokenizer)?;
    let config = match config {
        Some(config) => parse("tokenizer_config.json", config)?,
        None => Config::default(),
    };
    parts(file, &config)
}

fn parse<'a, T: Deserialize<'a>>(name: &str, bytes: &'a [u8]) -> Result<T, TokenizerError> {
    serde_json::from_slice(bytes).map_err(|e| TokenizerError::Json { fault: format!("{name}: {e}") })
}

fn unsupported(key: &str, value: impl ToString, known: &str) -> TokenizerError {
    TokenizerError::Unsupported {
        key: key.into(),
        value: value.to_string().chars().take(200).collect(),
        known: known.into(),
    }
}

fn parts(file: File, config: &Config) -> Result<VocabParts, TokenizerError> {
    let model = file.model;
    if let Some(kind) = model.kind.as_deref().filter(|&kind| kind != "BPE") {
        return Err(unsupported("model.type", kind, "BPE"));
    }
    for (key, set) in [
        ("model.dropout", model.dropout.is_some_and(|p| p != 0.0)),
        ("model.continuing_subword_prefix", model.continuing_subword_prefix.is_some_and(|s| !s.is_empty())),
        ("model.end_of_word_suffix", model.end_of_word_suffix.is_some_and(|s| !s.is_empty())),
    ] {
        if set {
            return Err(unsupported(key, "set", "not set"));
        }
    }
    let scheme = scheme(file.normalizer.as_ref(), file.pre_tokenizer.as_ref(), model.ignore_merges)?;
    let (tokens, kinds) = tokens(&model.vocab, file.added_tokens, model.byte_fallback, model.unk_token.as_deref())?;
    let merges = model.merges.into_iter().enumerate().map(|(index, merge)| match merge {
        Merge::Pair(left, right) => Ok((left, right)),
        Merge::Joined(merge) => split_merge(index, &merge),
    });
    let id = |text: &str| tokens.iter().position(|t| t == text).map(|id| id as u32);
    let bos = match &config.bos_token {
        Some(text) => id(text.as_str()),
        None => BEGINS.iter().find_map(|text| id(text)),
    };
    let begins = |bos: u32| {
        let processor = file.post_processor.as_ref();
        processor.is_some_and(|p| template_begins_with(p, &tokens[bos as usize]))
    };
    Ok(VocabParts {
        adds_bos: config.add_bos_token.unwrap_or_else(|| bos.is_some_and(begins)),
        bos,
        ends: config.eos_token.iter().filter_map(|text| id(text.as_str())).collect(),
        merges: merges.collect::<Result<_, _>>()?,
        scheme,
        tokens,
        kinds,
    })
}

/// The two sides of a merge written as one string.
pub(super) fn split_merge(index: usize, merge: &str) -> Result<(String, String), TokenizerError> {
    match merge.split_once(' ') {
        Some((left, right)) if !left.is_empty() && !right.is_empty() && !right.contains(' ') => {
            Ok((left.into(), right.into()))
        }
        _ => Err(TokenizerError::Merge {
            index,
            merge: merge.chars().take(128).collect(),
            fault: "it must be two tokens with a space between them".into(),
        }),
    }
}

type Tokens = (Vec<String>, Vec<Kind>);

/// All tokens by id. Ids may leave gaps, but not so many that a short file asks for much memory.
fn tokens(
    vocab: &BTreeMap<String, u32>,
    added: Vec<Added>,
    byte_fallback: bool,
    unknown: Option<&str>,
) -> Result<Tokens, TokenizerError> {
    let entries = vocab.len() + added.len();
    let most = 2 * entries + 1024;
    let largest = vocab.values().copied().chain(added.iter().map(|t| t.id)).max();
    let size = largest.map_or(0, |id| id as usize + 1);
    if size > most {
        return Err(TokenizerError::IdOutOfRange {
            key: "the largest token id".into(),
            id: size as u64 - 1,
            tokens: entries,
        });
    }
    let mut tokens = vec![String::new(); size];
    let mut kinds = vec![Kind::Unused; size];
    for (text, &id) in vocab {
        let slot = &mut tokens[id as usize];
        if !slot.is_empty() {
            return Err(duplicate(id, slot, text));
        }
        slot.clone_from(text);
        kinds[id as usize] = match text {
            _ if Some(text.as_str()) == unknown => Kind::Unknown,
            _ if byte_fallback && byte_token(text).is_some() => Kind::Byte,
            _ => Kind::Normal,
        };
    }
    for token in added {
        if token.single_word || token.lstrip || token.rstrip {
            let known = "added tokens without single_word, lstrip and rstrip";
            return Err(unsupported("added_tokens", token.content, known));
        }
        let (slot, kind) = (&mut tokens[token.id as usize], &mut kinds[token.id as usize]);
        if !slot.is_empty() && *slot != token.content {
            return Err(duplicate(token.id, slot, &token.content));
        }
        *slot = token.content;
        *kind = match token.special {
            true if *kind == Kind::Unknown => Kind::Unknown,
            true => Kind::Control,
            false => Kind::UserDefined,
        };
    }
    Ok((tokens, kinds))
}

fn duplicate(id: u32, first: &str, second: &str) -> TokenizerError {
    TokenizerError::DuplicateId { id, first: first.into(), second: second.into() }
}

/// The members of a `Sequence`, or the one thing itself; nothing where there is nothing.
fn members<'a>(value: Option<&'a Value>, list: &str) -> Vec<&'a Value> {
    match value {
        None | Some(Value::Null) => Vec::new(),
        Some(value) if kind(value) == "Sequence" => {
            value[list].as_array().map(|all| all.iter().collect()).unwrap_or_default()
        }
        Some(value) => vec![value],
    }
}

fn kind(value: &Value) -> &str {
    value["type"].as_str().unwrap_or_default()
}

fn scheme(
    normalizer: Option<&Value>,
    pre_tokenizer: Option<&Value>,
    ignore_merges: bool,
) -> Result<Scheme, TokenizerError> {
    let (mut nfc, mut low_lines, mut prefix) = (false, false, SpacePrefix::Never);
    for step in members(normalizer, "normalizers") {
        match kind(step) {
            "NFC" => nfc = true,
            "Prepend" if step["prepend"] == "\u{2581}" => prefix = SpacePrefix::Always,
            "Replace" if step["pattern"]["String"] == " " && step["content"] == "\u{2581}" => {
                low_lines = true;
            }
            _ => {
                return Err(unsupported("normalizer", step, "NFC, Prepend and Replace of a space by \u{2581}"));
            }
        }
    }
    let (mut patterns, mut byte_level) = (Vec::new(), false);
    for step in members(pre_tokenizer, "pretokenizers") {
        match kind(step) {
            "Split" if step["behavior"] == "Isolated" && step["pattern"]["Regex"].is_string() => {
                patterns.extend(step["pattern"]["Regex"].as_str());
            }
            "Digits" => {
                patterns.push(Splitter::digits(step["individual_digits"] == true));
            }
            "ByteLevel" if step["add_prefix_space"] != true => {
                byte_level = true;
                if step["use_regex"] != false {
                    patterns.push(Splitter::gpt2());
                }
            }
            "Metaspace" if step["replacement"] == "\u{2581}" && step["split"] == false => {
                low_lines = true;
                prefix = match step["prepend_scheme"].as_str() {
                    Some("first") => SpacePrefix::First,
                    Some("never") => SpacePrefix::Never,
                    _ => SpacePrefix::Missing,
                };
            }
            _ => {
                let known = "Split (Regex, Isolated), Digits, ByteLevel without prefix space, Metaspace without split";
                return Err(unsupported("pre_tokenizer", step, known));
            }
        }
    }
    match (byte_level, low_lines) {
        (true, false) if prefix == SpacePrefix::Never => {
            Ok(Scheme::ByteLevel { splitter: Splitter::new(&patterns)?, nfc, ignore_merges })
        }
        (false, true) if patterns.is_empty() && !nfc => Ok(Scheme::SentencePiece(prefix)),
        _ => Err(unsupported(
            "pre_tokenizer",
            "neither byte-level nor SentencePiece-style",
            "ByteLevel, or spaces replaced by \u{2581}",
        )),
    }
}

/// Whether a `TemplateProcessing` puts this token in front of every text.
fn template_begins_with(processor: &Value, token: &str) -> bool {
    members(Some(processor), "processors")
        .iter()
        .any(|step| kind(step) == "TemplateProcessing" && step["single"][0]["SpecialToken"]["id"] == token)
}
