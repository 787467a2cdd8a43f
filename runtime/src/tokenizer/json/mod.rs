//! A tokenizer from a `tokenizer.json`, the format of Hugging Face's `tokenizers`.
//!
//! Read here are the parts that Llama-architecture models use: byte-pair merges, byte-level or
//! SentencePiece-style. Anything else is an error that says so, never a tokenizer that is slightly
//! wrong.

mod file;
mod merges;
mod steps;

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde_json::Value;

use super::merges::merge_ids;
use super::special::Matching;
use super::vocab::{Kind, VocabParts, byte_token};
use super::{Tokenizer, TokenizerError};
use crate::json::Small;
use file::{Added, AddedToken, Config, File, Text};
use steps::{Around, around, decoder, puts_space_in_front, scheme};

/// The tokens that begin a text where no `tokenizer_config.json` names one.
const BEGINS: [&str; 2] = ["<|begin_of_text|>", "<s>"];

impl Tokenizer {
    /// Builds the tokenizer of a `tokenizer.json`, and of the `tokenizer_config.json` beside it
    /// where there is one: it names the tokens that begin and end a text.
    ///
    /// # Errors
    /// Names the part that is missing, contradictory, or not supported.
    pub fn from_json(tokenizer: &[u8], config: Option<&[u8]>) -> Result<Self, TokenizerError> {
        Self::from_json_with_ends(tokenizer, config, &[])
    }

    /// [`Tokenizer::from_json`], with more tokens that end a turn or the text.
    ///
    /// # Errors
    /// As [`Tokenizer::from_json`].
    pub fn from_json_with_ends(
        tokenizer: &[u8],
        config: Option<&[u8]>,
        ends: &[u32],
    ) -> Result<Self, TokenizerError> {
        Self::new(read_parts(tokenizer, config, ends)?)
    }
}

pub(super) fn read_parts(
    tokenizer: &[u8],
    config: Option<&[u8]>,
    ends: &[u32],
) -> Result<VocabParts, TokenizerError> {
    let file: File = parse("tokenizer.json", tokenizer)?;
    let config = match config {
        Some(config) => parse("tokenizer_config.json", config)?,
        None => Config::default(),
    };
    let mut parts = parts(file, config)?;
    parts.ends.extend(ends);
    Ok(parts)
}

fn parse<'a, T: Deserialize<'a>>(name: &str, bytes: &'a [u8]) -> Result<T, TokenizerError> {
    serde_json::from_slice(without_bom(bytes)).map_err(|e| TokenizerError::Json {
        cause: format!("{name}: {e}"),
    })
}

/// The text without the byte order mark that some editors put in front.
pub(super) fn without_bom(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes)
}

fn unsupported(key: &str, value: impl ToString, known: &str) -> TokenizerError {
    TokenizerError::Unsupported {
        key: key.into(),
        value: value.to_string().chars().take(200).collect(),
        known: known.into(),
    }
}

fn parts(file: File, config: Config) -> Result<VocabParts, TokenizerError> {
    let model = file.model;
    if let Some(kind) = model.kind.as_deref().filter(|&kind| kind != "BPE") {
        return Err(unsupported("model.type", kind, "BPE"));
    }
    for (key, set) in [
        ("model.dropout", model.dropout.is_some_and(|p| p != 0.0)),
        (
            "model.continuing_subword_prefix",
            model
                .continuing_subword_prefix
                .is_some_and(|s| !s.is_empty()),
        ),
        (
            "model.end_of_word_suffix",
            model.end_of_word_suffix.is_some_and(|s| !s.is_empty()),
        ),
    ] {
        if set {
            return Err(unsupported(key, "set", "not set"));
        }
    }
    fn value(part: &Option<Small>) -> Option<&Value> {
        part.as_ref().map(|Small(value)| value)
    }
    let mut scheme = scheme(value(&file.normalizer), value(&file.pre_tokenizer))?;
    let decoded = decoder(value(&file.decoder), scheme.byte_level)?;
    scheme.strips_space = decoded
        .strips_space
        .unwrap_or_else(|| puts_space_in_front(&scheme));
    scheme.ignore_merges = model.ignore_merges;
    scheme.byte_fallback = model.byte_fallback;
    scheme.fuse_unknown = model.fuse_unk;
    let has_bytes = model.byte_fallback || decoded.byte_fallback;
    let special: Vec<String> = config.special().map(str::to_owned).collect();
    let added = added(file.added_tokens, config.added_tokens_decoder, &model.vocab);
    let Tokens {
        tokens,
        kinds,
        matching,
    } = tokens(&model.vocab, added, has_bytes, model.unk_token.as_deref())?;
    drop(model.vocab);
    let merges = merge_ids(&tokens, model.merges.iter())?;
    drop(model.merges);
    let merges_make_all = !scheme.byte_level;
    let id = |text: &str| {
        (0_u32..)
            .zip(&tokens)
            .find(|(_, token)| *token == text)
            .map(|(id, _)| id)
    };
    // A vocabulary may have `<s>` as text: a tag of HTML.
    let marker = |text: &&str| {
        id(text).filter(|&id| {
            kinds
                .get(id as usize)
                .is_some_and(|kind| *kind != Kind::Normal)
        })
    };
    let around = value(&file.post_processor).map_or(Ok(Around::default()), around)?;
    let begin = around.before.as_deref().and_then(id);
    let bos = match &config.bos_token {
        Some(Text(text)) => id(text),
        None => begin.or_else(|| BEGINS.iter().find_map(marker)),
    };
    let adds_bos = match config.add_bos_token {
        Some(adds) => adds,
        None => around.before.is_some(),
    };
    if config.add_bos_token.is_none()
        && around.before.is_some()
        && (begin.is_none() || begin != bos)
    {
        let known = "a template that begins with the tokenizer's bos_token, or with the text";
        return Err(unsupported(
            "post_processor",
            around.before.unwrap_or_default(),
            known,
        ));
    }
    let mut notes = Vec::new();
    if config.add_eos_token == Some(true) || around.after.is_some() {
        notes.push(
            "the tokenizer puts an end token behind every text: a text that is to go on gets none"
                .into(),
        );
    }
    Ok(VocabParts {
        adds_bos,
        bos,
        ends: config
            .eos_token
            .iter()
            .filter_map(|Text(text)| id(text))
            .collect(),
        special: special.iter().filter_map(|text| id(text)).collect(),
        unknown: model.unk_token.as_deref().and_then(id),
        merges,
        scheme,
        matching,
        kinds,
        notes,
        tokens,
        merges_make_all,
    })
}

/// The added tokens as `transformers` has them: `tokenizer_config.json` has the last word.
fn added(
    file: Vec<Added>,
    config: BTreeMap<String, AddedToken>,
    vocab: &BTreeMap<String, u32>,
) -> Vec<Added> {
    let mut added = file;
    let mut places: HashMap<String, usize> = added
        .iter()
        .enumerate()
        .map(|(at, added)| (added.token.content.clone(), at))
        .collect();
    let mut config: Vec<(Option<u32>, AddedToken)> = config
        .into_iter()
        .map(|(id, token)| (id.parse().ok(), token))
        .collect();
    config.sort_by_key(|(id, _)| *id);
    for (id, token) in config
        .into_iter()
        .filter(|(_, token)| !token.content.is_empty())
    {
        match places.get(&token.content).and_then(|&at| added.get_mut(at)) {
            // Once special, a token stays special.
            Some(known) => {
                known.token = AddedToken {
                    special: known.token.special || token.special,
                    ..token
                }
            }
            None => {
                if let Some(id) = vocab.get(&token.content).copied().or(id) {
                    places.insert(token.content.clone(), added.len());
                    added.push(Added { id, token });
                }
            }
        }
    }
    added
}

struct Tokens {
    tokens: Vec<String>,
    kinds: Vec<Kind>,
    matching: BTreeMap<u32, Matching>,
}

/// All tokens by id. Ids may leave gaps, but not so many that a short file asks for much memory.
fn tokens(
    vocab: &BTreeMap<String, u32>,
    added: Vec<Added>,
    has_bytes: bool,
    unknown: Option<&str>,
) -> Result<Tokens, TokenizerError> {
    let entries = vocab.len() + added.len();
    let most = 2 * entries + 1024;
    let largest = vocab
        .values()
        .copied()
        .chain(added.iter().map(|t| t.id))
        .max();
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
    let mut matching = BTreeMap::new();
    for (text, &id) in vocab {
        let slot = &mut tokens[id as usize];
        if !slot.is_empty() {
            return Err(duplicate(id, slot, text));
        }
        slot.clone_from(text);
        kinds[id as usize] = match text {
            _ if Some(text.as_str()) == unknown => Kind::Unknown,
            _ if has_bytes && byte_token(text).is_some() => Kind::Byte,
            _ => Kind::Normal,
        };
    }
    let mut ids: HashMap<String, u32> = HashMap::new();
    for Added { id, token } in added {
        let AddedToken {
            content,
            special,
            single_word,
            lstrip,
            rstrip,
            normalized,
        } = token;
        let (slot, kind) = (&mut tokens[id as usize], &mut kinds[id as usize]);
        if !slot.is_empty() && *slot != content {
            return Err(duplicate(id, slot, &content));
        }
        let known = ids
            .insert(content.clone(), id)
            .or_else(|| vocab.get(&content).copied());
        if let Some(first) = known.filter(|&first| first != id) {
            let (first, second) = (first.min(id), first.max(id));
            return Err(TokenizerError::Duplicate {
                first,
                second,
                text: content,
            });
        }
        *slot = content;
        *kind = match special {
            true if *kind == Kind::Unknown => Kind::Unknown,
            true => Kind::Control,
            false => Kind::UserDefined,
        };
        matching.insert(
            id,
            Matching {
                single_word,
                lstrip,
                rstrip,
                normalized,
            },
        );
    }
    Ok(Tokens {
        tokens,
        kinds,
        matching,
    })
}

fn duplicate(id: u32, first: &str, second: &str) -> TokenizerError {
    TokenizerError::DuplicateId {
        id,
        first: first.into(),
        second: second.into(),
    }
}
