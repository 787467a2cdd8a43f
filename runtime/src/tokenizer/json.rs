//! A tokenizer from a `tokenizer.json`, the format of Hugging Face's `tokenizers`.
//!
//! Read here are the parts that Llama-architecture models use: byte-pair merges, byte-level or
//! SentencePiece-style. Anything else is an error that says so, never a tokenizer that is slightly
//! wrong.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::merges::{merge_ids, split_merge};
use super::normalize::{MAX_NORMALIZERS, Normalizer};
use super::special::Matching;
use super::split::{Behavior, SpacePrefix, Splitter, Step};
use super::vocab::{Kind, LOW_LINE, Scheme, VocabParts, byte_token};
use super::{Tokenizer, TokenizerError};
use crate::json::{MaybeText, Small};

/// `truncation` and `padding` are left out: `transformers` sets both anew for each text.
#[derive(Deserialize)]
struct File {
    model: Model,
    #[serde(default)]
    added_tokens: Vec<Added>,
    normalizer: Option<Small>,
    pre_tokenizer: Option<Small>,
    post_processor: Option<Small>,
    decoder: Option<Small>,
}

#[derive(Deserialize)]
struct Model {
    #[serde(rename = "type")]
    kind: Option<String>,
    vocab: BTreeMap<String, u32>,
    merges: MergeTexts,
    #[serde(default)]
    byte_fallback: bool,
    #[serde(default)]
    fuse_unk: bool,
    #[serde(default)]
    ignore_merges: bool,
    unk_token: Option<String>,
    dropout: Option<f32>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
}

/// Merges as the file writes them, `"a b"` in older files, `["a", "b"]` in newer ones: their texts
/// one after the other, and where each side ends.
#[derive(Default)]
struct MergeTexts {
    text: String,
    ends: Vec<(u32, u32)>,
}

impl MergeTexts {
    fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        let mut start = 0;
        self.ends.iter().map(move |&(middle, end)| {
            let (left, right) = (start as usize..middle as usize, middle as usize..end as usize);
            start = end;
            (&self.text[left], &self.text[right])
        })
    }

    fn end<E: serde::de::Error>(&self) -> Result<u32, E> {
        u32::try_from(self.text.len()).map_err(|_| E::custom("merges take more than 4 GiB"))
    }
}

impl<'de> Deserialize<'de> for MergeTexts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List(MergeTexts);
        impl<'de> Visitor<'de> for List {
            type Value = MergeTexts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of merges")
            }

            fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<MergeTexts, A::Error> {
                while list.next_element_seed(One(&mut self.0))?.is_some() {}
                Ok(self.0)
            }
        }
        deserializer.deserialize_seq(List(MergeTexts::default()))
    }
}

/// Reads one merge.
struct One<'a>(&'a mut MergeTexts);

impl<'de> DeserializeSeed<'de> for One<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for One<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a merge: two tokens with a space between them, or a list of two tokens")
    }

    fn visit_str<E: serde::de::Error>(self, merge: &str) -> Result<(), E> {
        let (left, right) = split_merge(self.0.ends.len(), merge).map_err(E::custom)?;
        self.0.text.push_str(left);
        let middle = self.0.end()?;
        self.0.text.push_str(right);
        let end = self.0.end()?;
        self.0.ends.push((middle, end));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sides: A) -> Result<(), A::Error> {
        let mut ends = [0; 2];
        for (count, end) in ends.iter_mut().enumerate() {
            let side = sides.next_element_seed(Append(&mut self.0.text))?;
            side.ok_or_else(|| A::Error::invalid_length(count, &"two tokens"))?;
            *end = self.0.end()?;
        }
        if sides.next_element::<IgnoredAny>()?.is_some() {
            return Err(A::Error::invalid_length(3, &"two tokens"));
        }
        self.0.ends.push(ends.into());
        Ok(())
    }
}

/// Appends a text to others.
struct Append<'a>(&'a mut String);

impl<'de> DeserializeSeed<'de> for Append<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Append<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a token")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.0.push_str(text);
        Ok(())
    }
}

/// An added token of a `tokenizer.json`. `flatten` would hold all of it in memory first.
#[derive(Deserialize)]
struct FileToken {
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
    #[serde(default)]
    normalized: bool,
}

impl From<FileToken> for Added {
    fn from(token: FileToken) -> Self {
        let FileToken { id, content, special, single_word, lstrip, rstrip, normalized } = token;
        Self { id, token: AddedToken { content, special, single_word, lstrip, rstrip, normalized } }
    }
}

#[derive(Deserialize)]
#[serde(from = "FileToken")]
struct Added {
    id: u32,
    token: AddedToken,
}

/// What a token is that was added to a vocabulary.
#[derive(Deserialize)]
struct AddedToken {
    content: String,
    #[serde(default)]
    special: bool,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    #[serde(default)]
    normalized: bool,
}

/// What matters of a `tokenizer_config.json`.
#[derive(Default, Deserialize)]
struct Config {
    bos_token: Option<Text>,
    eos_token: Option<Text>,
    #[serde(default)]
    unk_token: AnyToken,
    #[serde(default)]
    pad_token: AnyToken,
    #[serde(default)]
    additional_special_tokens: AnyTokens,
    add_bos_token: Option<bool>,
    #[serde(default)]
    add_eos_token: Option<bool>,
    #[serde(default)]
    added_tokens_decoder: BTreeMap<String, AddedToken>,
}

/// A token's text, alone or with its properties.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let AnyToken(text) = AnyToken::deserialize(deserializer)?;
        text.map(Self)
            .ok_or_else(|| D::Error::custom("a token must be a text, or an object with a text as its content"))
    }
}

/// The same, or anything else, which is no token.
#[derive(Default)]
struct AnyToken(Option<String>);

impl<'de> Deserialize<'de> for AnyToken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneToken).map(Self)
    }
}

struct OneToken;

impl<'de> Visitor<'de> for OneToken {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a token")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(text.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut content = None;
        while let Some(key) = entries.next_key::<String>()? {
            match key.as_str() {
                "content" => content = entries.next_value::<MaybeText>()?.0.ok(),
                _ => _ = entries.next_value::<IgnoredAny>()?,
            }
        }
        Ok(content)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

/// The tokens of a list; none where there is something else.
#[derive(Default)]
struct AnyTokens(Vec<String>);

impl<'de> Deserialize<'de> for AnyTokens {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Vec<String>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of tokens")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some(AnyToken(token)) = list.next_element()? {
                    all.extend(token);
                }
                Ok(all)
            }

            fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Self::Value, A::Error> {
                OneToken.visit_map(entries).map(|_| Vec::new())
            }

            fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
                Ok(Vec::new())
            }

            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(Vec::new())
            }

            fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                Ok(Vec::new())
            }

            fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
                Ok(Vec::new())
            }

            fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
                Ok(Vec::new())
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Vec::new())
            }
        }
        deserializer.deserialize_any(List).map(Self)
    }
}

impl Config {
    /// The texts of all tokens that are special by name.
    fn special(&self) -> impl Iterator<Item = &str> {
        let named = self.bos_token.iter().chain(&self.eos_token).map(|Text(text)| text);
        let others = self.unk_token.0.iter().chain(&self.pad_token.0).chain(&self.additional_special_tokens.0);
        named.chain(others).map(String::as_str)
    }
}

/// What begins a text where no `tokenizer_config.json` says so.
const BEGINS: [&str; 2] = ["<|begin_of_text|>", "<s>"];

impl Tokenizer {
    /// Builds the tokenizer of a `tokenizer.json`, and of the `tokenizer_config.json` beside it
    /// where there is one: it names the tokens that begin and end a text.
    ///
    /// # Errors
    /// Says what is missing, contradictory, or not supported.
    pub fn from_json(tokenizer: &[u8], config: Option<&[u8]>) -> Result<Self, TokenizerError> {
        Self::from_json_with_ends(tokenizer, config, &[])
    }

    /// The same, where these tokens end a turn or the text too.
    ///
    /// # Errors
    /// As [`Tokenizer::from_json`].
    pub fn from_json_with_ends(tokenizer: &[u8], config: Option<&[u8]>, ends: &[u32]) -> Result<Self, TokenizerError> {
        Self::new(read_parts(tokenizer, config, ends)?)
    }
}

pub(super) fn read_parts(tokenizer: &[u8], config: Option<&[u8]>, ends: &[u32]) -> Result<VocabParts, TokenizerError> {
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
    serde_json::from_slice(without_bom(bytes)).map_err(|e| TokenizerError::Json { fault: format!("{name}: {e}") })
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
        ("model.continuing_subword_prefix", model.continuing_subword_prefix.is_some_and(|s| !s.is_empty())),
        ("model.end_of_word_suffix", model.end_of_word_suffix.is_some_and(|s| !s.is_empty())),
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
    scheme.strips_space = decoded.strips_space.unwrap_or_else(|| puts_space_in_front(&scheme));
    scheme.ignore_merges = model.ignore_merges;
    scheme.byte_fallback = model.byte_fallback;
    scheme.fuse_unknown = model.fuse_unk;
    let has_bytes = model.byte_fallback || decoded.byte_fallback;
    let special: Vec<String> = config.special().map(str::to_owned).collect();
    let added = added(file.added_tokens, config.added_tokens_decoder, &model.vocab);
    let Tokens { tokens, kinds, matching } = tokens(&model.vocab, added, has_bytes, model.unk_token.as_deref())?;
    drop(model.vocab);
    let merges = merge_ids(&tokens, model.merges.iter())?;
    drop(model.merges);
    let merges_make_all = !scheme.byte_level;
    let id = |text: &str| (0_u32..).zip(&tokens).find(|(_, token)| *token == text).map(|(id, _)| id);
    // A vocabulary may have `<s>` as text: a tag of HTML.
    let marker = |text: &&str| id(text).filter(|&id| kinds.get(id as usize).is_some_and(|kind| *kind != Kind::Normal));
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
    if config.add_bos_token.is_none() && around.before.is_some() && (begin.is_none() || begin != bos) {
        let known = "a template that begins with the tokenizer's bos_token, or with the text";
        return Err(unsupported("post_processor", around.before.unwrap_or_default(), known));
    }
    let mut notes = Vec::new();
    if config.add_eos_token == Some(true) || around.after.is_some() {
        notes.push("the tokenizer puts an end token behind every text: a text that is to go on gets none".into());
    }
    Ok(VocabParts {
        adds_bos,
        bos,
        ends: config.eos_token.iter().filter_map(|Text(text)| id(text)).collect(),
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
fn added(file: Vec<Added>, config: BTreeMap<String, AddedToken>, vocab: &BTreeMap<String, u32>) -> Vec<Added> {
    let mut added = file;
    let mut places: HashMap<String, usize> =
        added.iter().enumerate().map(|(at, added)| (added.token.content.clone(), at)).collect();
    let mut config: Vec<(Option<u32>, AddedToken)> =
        config.into_iter().map(|(id, token)| (id.parse().ok(), token)).collect();
    config.sort_by_key(|(id, _)| *id);
    for (id, token) in config.into_iter().filter(|(_, token)| !token.content.is_empty()) {
        match places.get(&token.content).and_then(|&at| added.get_mut(at)) {
            // Once special, a token stays special.
            Some(known) => known.token = AddedToken { special: known.token.special || token.special, ..token },
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
        let AddedToken { content, special, single_word, lstrip, rstrip, normalized } = token;
        let (slot, kind) = (&mut tokens[id as usize], &mut kinds[id as usize]);
        if !slot.is_empty() && *slot != content {
            return Err(duplicate(id, slot, &content));
        }
        let known = ids.insert(content.clone(), id).or_else(|| vocab.get(&content).copied());
        if let Some(first) = known.filter(|&first| first != id) {
            let (first, second) = (first.min(id), first.max(id));
            return Err(TokenizerError::Duplicate { first, second, text: content });
        }
        *slot = content;
        *kind = match special {
            true if *kind == Kind::Unknown => Kind::Unknown,
            true => Kind::Control,
            false => Kind::UserDefined,
        };
        matching.insert(id, Matching { single_word, lstrip, rstrip, normalized });
    }
    Ok(Tokens { tokens, kinds, matching })
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

const SPACE: &str = " ";
const LOW_LINES: &str = "\u{2581}";

fn scheme(normalizer: Option<&Value>, pre_tokenizer: Option<&Value>) -> Result<Scheme, TokenizerError> {
    let normalizers = members(normalizer, "normalizers");
    if normalizers.len() > MAX_NORMALIZERS {
        let (value, known) = (format!("{} steps", normalizers.len()), format!("at most {MAX_NORMALIZERS}"));
        return Err(unsupported("normalizer", value, &known));
    }
    let normalizer: Vec<Normalizer> = normalizers.into_iter().map(normalizer_step).collect::<Result<_, _>>()?;
    let mut low_lines = normalizer.contains(&Normalizer::low_lines());
    let mut steps = Vec::new();
    for step in members(pre_tokenizer, "pretokenizers") {
        // Where all spaces are low lines, nothing is cut at spaces.
        let no_space_is_left = low_lines && step["pattern"]["String"] == SPACE;
        if !(kind(step) == "Split" && no_space_is_left) {
            pre_tokenizer_steps(step, &mut steps)?;
        }
        low_lines |= kind(step) == "Metaspace";
    }
    let letters = steps.iter().filter(|&step| *step == Step::Letters).count();
    match (letters, low_lines) {
        (1, false) | (0, true) => {
            let splitter = Splitter::new(steps)?;
            Ok(Scheme { normalizer, splitter, byte_level: letters == 1, ..Scheme::default() })
        }
        _ => Err(unsupported(
            "pre_tokenizer",
            "neither byte-level nor SentencePiece-style",
            "ByteLevel, or spaces replaced by \u{2581}",
        )),
    }
}

fn normalizer_step(step: &Value) -> Result<Normalizer, TokenizerError> {
    let set = |key: &str| step[key] != false;
    Ok(match (kind(step), step["prepend"].as_str(), step["pattern"]["String"].as_str(), step["content"].as_str()) {
        ("NFC", ..) => Normalizer::Nfc,
        ("NFD", ..) => Normalizer::Nfd,
        ("NFKC", ..) => Normalizer::Nfkc,
        ("NFKD", ..) => Normalizer::Nfkd,
        ("Lowercase", ..) => Normalizer::Lowercase,
        ("StripAccents", ..) => Normalizer::StripAccents,
        ("Strip", ..) => Normalizer::Strip { left: set("strip_left"), right: set("strip_right") },
        ("Prepend", Some(prefix), ..) => Normalizer::Prepend(prefix.into()),
        ("Replace", _, Some(pattern), Some(content)) if !pattern.is_empty() => {
            Normalizer::Replace { pattern: pattern.into(), content: content.into() }
        }
        _ => {
            let known = "NFC, NFD, NFKC, NFKD, Lowercase, Strip, StripAccents, Prepend, Replace of a text";
            return Err(unsupported("normalizer", step, known));
        }
    })
}

/// Appends what a pre-tokenizer does.
fn pre_tokenizer_steps(step: &Value, steps: &mut Vec<Step>) -> Result<(), TokenizerError> {
    let refuse = |known: &str| Err(unsupported("pre_tokenizer", step, known));
    match kind(step) {
        "Split" => {
            let pattern = &step["pattern"];
            let pattern = match (pattern["Regex"].as_str(), pattern["String"].as_str()) {
                (Some(regex), None) => regex.to_owned(),
                (None, Some(text)) if !text.is_empty() => literal(text),
                _ => return refuse("a pattern that is a Regex, or a String"),
            };
            let Some(behavior) = behavior(&step["behavior"]) else {
                return refuse("a behavior that is Isolated, Removed, Contiguous, MergedWithPrevious, MergedWithNext");
            };
            let invert = match &step["invert"] {
                Value::Null => false,
                Value::Bool(invert) => *invert,
                _ => return refuse("an invert that is true or false"),
            };
            steps.push(Splitter::cut(&pattern, behavior, invert)?);
        }
        "Digits" => {
            let pattern = Splitter::digits(step["individual_digits"] == true);
            steps.push(Splitter::cut(pattern, Behavior::Isolated, false)?);
        }
        "Punctuation" => {
            let behavior = match &step["behavior"] {
                Value::Null => Some(Behavior::Isolated),
                given => behavior(given),
            };
            let Some(behavior) = behavior else { return refuse("a known behavior") };
            // Unicode's punctuation, and what is only in ASCII's.
            steps.push(Splitter::cut(r"[\p{P}$+<=>^`|~]", behavior, false)?);
        }
        "ByteLevel" => {
            if step["add_prefix_space"] == true {
                steps.push(Step::Space);
            }
            if step["use_regex"] != false {
                steps.push(Splitter::cut(Splitter::gpt2(), Behavior::Isolated, false)?);
            }
            steps.push(Step::Letters);
        }
        "Metaspace" if step["replacement"] == LOW_LINES => {
            let scheme = step["prepend_scheme"].as_str();
            let prefix = match (scheme, &step["add_prefix_space"]) {
                (Some("never"), _) => SpacePrefix::Never,
                (Some("first"), Value::Null | Value::Bool(true)) => SpacePrefix::First,
                (Some("always") | None, Value::Null | Value::Bool(true)) => SpacePrefix::Always,
                _ => return refuse("a prepend_scheme that is first, always or never, and add_prefix_space alike"),
            };
            steps.push(Step::LowLines(prefix));
            if step["split"] != false {
                steps.push(Splitter::cut(LOW_LINES, Behavior::MergedWithNext, false)?);
            }
        }
        _ => return refuse("Split, Digits, Punctuation, ByteLevel, Metaspace with \u{2581}"),
    }
    Ok(())
}

fn behavior(value: &Value) -> Option<Behavior> {
    Some(match value.as_str()? {
        "Isolated" => Behavior::Isolated,
        "Removed" => Behavior::Removed,
        "Contiguous" => Behavior::Contiguous,
        "MergedWithPrevious" => Behavior::MergedWithPrevious,
        "MergedWithNext" => Behavior::MergedWithNext,
        _ => return None,
    })
}

/// A pattern that matches a text and nothing else.
fn literal(text: &str) -> String {
    text.chars().map(|c| format!("\\x{{{:x}}}", c as u32)).collect()
}

/// What a decoder does besides spelling tokens as the scheme does.
struct Decoded {
    /// Whether the first space is dropped; none where there is no decoder.
    strips_space: Option<bool>,
    /// Whether `<0x0A>` stands for a byte.
    byte_fallback: bool,
}

fn decoder(decoder: Option<&Value>, byte_level: bool) -> Result<Decoded, TokenizerError> {
    let steps = members(decoder, "decoders");
    let known = match byte_level {
        true => "ByteLevel, as the pre-tokenizer is byte-level",
        false => "Metaspace; Replace of \u{2581} by a space, ByteFallback, Fuse, Strip of a space at the start",
    };
    let mut decoded = Decoded { strips_space: (!steps.is_empty()).then_some(false), byte_fallback: false };
    for step in steps {
        match kind(step) {
            "ByteLevel" if byte_level => {}
            "Fuse" => {}
            "ByteFallback" if !byte_level => decoded.byte_fallback = true,
            "Replace" if !byte_level && step["pattern"]["String"] == LOW_LINES && step["content"] == SPACE => {}
            "Strip" if !byte_level && step["content"] == SPACE && step["stop"] == 0 && step["start"] == 1 => {
                decoded.strips_space = Some(true);
            }
            "Metaspace" if !byte_level && step["replacement"] == LOW_LINES => {
                let never = step["prepend_scheme"] == "never" || step["add_prefix_space"] == false;
                decoded.strips_space = Some(!never);
            }
            _ => return Err(unsupported("decoder", step, known)),
        }
    }
    Ok(decoded)
}

fn puts_space_in_front(scheme: &Scheme) -> bool {
    let by_normalizer = scheme.normalizer.contains(&Normalizer::Prepend(LOW_LINE.into()));
    let by_step = |step: &Step| matches!(step, Step::LowLines(prefix) if *prefix != SpacePrefix::Never);
    !scheme.byte_level && (by_normalizer || scheme.splitter.steps().iter().any(by_step))
}

/// The tokens that a post-processor puts around every text.
#[derive(Default)]
struct Around {
    before: Option<String>,
    after: Option<String>,
}

fn around(processor: &Value) -> Result<Around, TokenizerError> {
    let mut around = Around::default();
    for step in members(Some(processor), "processors") {
        let refuse = || {
            unsupported("post_processor", step, "ByteLevel; TemplateProcessing with a token before or after the text")
        };
        match kind(step) {
            "ByteLevel" => {}
            "TemplateProcessing" => {
                let mut is_after = false;
                for piece in step["single"].as_array().ok_or_else(refuse)? {
                    let slot = if is_after { &mut around.after } else { &mut around.before };
                    match (piece["SpecialToken"]["id"].as_str(), slot) {
                        (Some(token), slot @ None) => *slot = Some(token.into()),
                        (None, _) if piece["Sequence"]["id"] == "A" && !is_after => is_after = true,
                        _ => return Err(refuse()),
                    }
                }
            }
            _ => return Err(refuse()),
        }
    }
    Ok(around)
}
