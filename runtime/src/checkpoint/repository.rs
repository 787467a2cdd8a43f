//! A Hugging Face repository: a folder with `config.json`, weights in safetensors files, and `tokenizer.json`.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

use super::config_json::{JsonFile, Settings, json_fault};
use super::packed::{self, Packed, Packing};
use super::safetensors::{self, Stored};
use super::{Checkpoint, Place, UnknownKey};
use crate::chat::{TEMPLATE, TOKENS};
use crate::error::{ConfigError, Error};
use crate::gguf::{Fault, FormatError, Metadata, Subject, Tensor, Value, slice};
use crate::io::{Identity, Source, SourceCause};
use crate::json::{MaybeText, other_than_object};
use crate::tokenizer::{Beside, Tokenizer, TokenizerError};

const CONFIG: &str = "config.json";
const GENERATION: &str = "generation_config.json";
const TOKENIZER: &str = "tokenizer.json";
/// SentencePiece's own file, which Godwit does not read.
const SENTENCEPIECE: &str = "tokenizer.model";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const CHAT_TEMPLATE: &str = "chat_template.jinja";
/// Where older versions of transformers put templates.
const CHAT_TEMPLATE_JSON: &str = "chat_template.json";
/// Where older GPTQ tools say how they have quantised.
const QUANTIZE_CONFIG: &str = "quantize_config.json";
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

const EMBEDDING: &str = "token_embd.weight";
const HEAD: &str = "output.weight";

/// The largest `tokenizer.json`, in bytes: real ones are below 40 MB.
const MOST_TOKENIZER: u64 = 128 << 20;
/// The largest of the other small files, in bytes: an index of 100,000 tensors takes 10 MB.
const MOST_SMALL: u64 = 32 << 20;

/// Whether a file of this name may be part of a repository.
pub(crate) fn is_part(name: &str) -> bool {
    let small = [
        CONFIG,
        GENERATION,
        TOKENIZER,
        SENTENCEPIECE,
        TOKENIZER_CONFIG,
        CHAT_TEMPLATE,
        CHAT_TEMPLATE_JSON,
        INDEX,
        QUANTIZE_CONFIG,
    ];
    small.contains(&name) || name.ends_with(".safetensors")
}

/// A repository, read as a checkpoint. Query and key rows come in GGUF's order, whatever the order in the files.
pub struct Repository {
    name: String,
    metadata: Metadata,
    notes: Vec<String>,
    small: HashMap<String, Vec<u8>>,
    ends: Vec<u32>,
    shards: Vec<Box<dyn Source>>,
    tensors: Vec<Tensor>,
    index: HashMap<String, usize>,
    /// Tensors that GGUF has no name for.
    unnamed: Vec<String>,
    /// An output head that is there, though the embedding serves as one.
    tied_head: Option<Tensor>,
    obstacles: Vec<Error>,
    unknown_keys: Vec<UnknownKey>,
    /// Matrices that are quantised in the files, by GGUF's names.
    packed: HashMap<String, Packed>,
    heads: u64,
    kv_heads: u64,
}

impl Repository {
    /// Reads the configuration and the tables of the shards. `files` are all files of the repository, or those that
    /// matter; a name's last part counts. No weights are read.
    ///
    /// # Errors
    /// Names the file and the key or tensor that is missing, contradictory, or not supported.
    pub fn read(name: &str, files: Vec<Box<dyn Source>>) -> Result<Self, Error> {
        let (mut small, mut weights) = (HashMap::new(), HashMap::new());
        for file in files {
            let base = file.name().rsplit(['/', '\\']).next().unwrap_or_default().to_owned();
            if base.ends_with(".safetensors") {
                weights.insert(base, file);
            } else if is_part(&base) {
                small.insert(base, all(file.as_ref())?);
            }
        }
        let path = |file: &str| format!("{name}/{file}");
        let json = |file: &str| small.get(file).map(|bytes| JsonFile::parse(&path(file), bytes)).transpose();
        let config =
            json(CONFIG)?.ok_or_else(|| FormatError::file(path(CONFIG), Fault::Source(SourceCause::Missing)))?;
        let mut settings = Settings::read(&config)?;
        let mut ends = config.ids("eos_token_id")?;
        if let Some(generation) = json(GENERATION)? {
            settings.generation(&generation);
            ends.extend(generation.ids("eos_token_id")?);
        }
        if let Some(template) = small.get(CHAT_TEMPLATE).filter(|template| !template.is_empty()) {
            settings.metadata.set_origin(TEMPLATE, &path(CHAT_TEMPLATE), "the template");
            match std::str::from_utf8(template) {
                Ok(text) => _ = settings.metadata.insert(TEMPLATE.into(), Value::String(text.into())),
                Err(_) => {
                    let error = FormatError::file(path(CHAT_TEMPLATE), Fault::Utf8 { what: "the template" });
                    settings.metadata.set_unusable(TEMPLATE, error);
                }
            }
        } else {
            for file in [TOKENIZER_CONFIG, CHAT_TEMPLATE_JSON] {
                if let Some(file) = json(file)? {
                    settings.chat_template(&file);
                }
            }
        }
        let index = small.get(INDEX).map(|bytes| Index::parse(&path(INDEX), bytes)).transpose()?;
        let (shards, stored) = shards(name, weights, index)?;
        let Settings { metadata, tied, packing, obstacles, unknown, notes } = settings;
        let unknown_keys = unknown.into_iter().map(|key| UnknownKey { file: CONFIG.into(), key }).collect();
        let mut obstacles: Vec<Error> = obstacles.into_iter().map(Error::from).collect();
        if packing.is_none()
            && obstacles.is_empty()
            && let Some(error) = unsaid_packing(&path(CONFIG), &stored, json(QUANTIZE_CONFIG)?.is_some())
        {
            obstacles.push(error.into());
        }
        // Counts that make no sense are errors of those who need them.
        let count = |key| metadata.uniform(key).ok().flatten();
        let heads = count("llama.attention.head_count").unwrap_or(0);
        let kv_heads = count("llama.attention.head_count_kv").unwrap_or(heads);
        let (stored, packed) = packed_matrices(&shards, stored, packing)?;
        let mut all = Self {
            name: name.into(),
            metadata,
            notes,
            small,
            ends,
            shards,
            tensors: packed.iter().map(|packed| packed.tensor.clone()).collect(),
            index: HashMap::new(),
            unnamed: Vec::new(),
            tied_head: None,
            obstacles,
            unknown_keys,
            packed: packed.into_iter().map(|packed| (packed.tensor.name.clone(), packed)).collect(),
            heads,
            kv_heads,
        };
        all.name_tensors(stored, tied);
        all.check_biases(&config)?;
        if !tied && all.index.contains_key(EMBEDDING) && !all.index.contains_key(HEAD) {
            let detail = "tie_word_embeddings is false, but there is no lm_head.weight".into();
            all.obstacles.push(ConfigError::Contradiction { file: path(CONFIG), detail }.into());
        }
        all.describe()?;
        Ok(all)
    }

    /// Takes the tensors in by GGUF's names; keeps the names of those that GGUF has none for.
    fn name_tensors(&mut self, stored: Vec<Stored>, tied: bool) {
        let mut tensors = Vec::new();
        for tensor in stored {
            let file = self.shards.get(tensor.part).map_or_else(String::new, |shard| shard.name().into());
            let Some(name) = gguf_name(&tensor.name) else {
                self.unnamed.push(tensor.name);
                continue;
            };
            match tensor.floats(name, &file) {
                Ok(tensor) if tensor.name == HEAD && tied => {
                    self.notes.push("tie_word_embeddings is true: lm_head.weight is not used".into());
                    self.tied_head = Some(tensor);
                }
                Ok(tensor) => tensors.push(tensor),
                Err(error) => self.obstacles.push(error.into()),
            }
        }
        tensors.append(&mut self.tensors);
        self.tensors = tensors;
        self.index_tensors();
    }

    fn index_tensors(&mut self) {
        self.index = self.tensors.iter().enumerate().map(|(at, tensor)| (tensor.name.clone(), at)).collect();
    }

    /// Holds what `config.json` says of biases against the tensors. Where it says that there are none, those of zeros are left
    /// out; others are an obstacle.
    fn check_biases(&mut self, config: &JsonFile) -> Result<(), FormatError> {
        for (key, part) in [("attention_bias", ".attn_"), ("mlp_bias", ".ffn_")] {
            let said = config.bool(key)?;
            let is_bias = |tensor: &Tensor| tensor.name.contains(part) && tensor.name.ends_with(".bias");
            let biases: Vec<Tensor> = self.tensors.iter().filter(|tensor| is_bias(tensor)).cloned().collect();
            let detail = match (said, biases.first()) {
                (Some(true), None) => format!("{key} is true, but there are no such tensors"),
                (Some(false), Some(_)) => {
                    let mut other = None;
                    for bias in &biases {
                        if !self.is_zero(bias)? {
                            other = Some(self.own_name(&bias.name));
                            break;
                        }
                    }
                    match other {
                        Some(name) => format!("{key} is false, but there is `{name}`, which is not zero"),
                        None => {
                            self.tensors.retain(|tensor| !is_bias(tensor));
                            self.index_tensors();
                            continue;
                        }
                    }
                }
                _ => continue,
            };
            self.obstacles.push(ConfigError::Contradiction { file: config.name().into(), detail }.into());
        }
        Ok(())
    }

    /// Whether all weights of a tensor of floats are zero.
    fn is_zero(&self, tensor: &Tensor) -> Result<bool, FormatError> {
        let stored = self.stored(tensor, 0..tensor.bytes)?;
        let mut weights = vec![0.0; tensor.shape.iter().product::<u64>() as usize];
        tensor.format.dequantize(&stored, &mut weights);
        Ok(weights.iter().all(|&weight| weight == 0.0))
    }

    /// Adds what only the tokenizer knows to the metadata: what templates call `eos_token`.
    fn describe(&mut self) -> Result<(), Error> {
        let base = self.name.trim_end_matches(['/', '\\']).rsplit(['/', '\\']).next().unwrap_or_default();
        self.metadata.insert("general.name".into(), Value::String(base.into()));
        let path = format!("{}/{TOKENIZER_CONFIG}", self.name);
        let config = self.small.get(TOKENIZER_CONFIG).map(|bytes| JsonFile::parse(&path, bytes)).transpose()?;
        let eos = config.as_ref().map(|config| config.token("eos_token")).transpose()?.flatten();
        // A tokenizer that can't be read is the error of whoever wants it.
        let Ok(tokenizer) = self.tokenizer() else { return Ok(()) };
        let first = self.ends.iter().copied().find(|&id| id < tokenizer.vocab_size());
        if let Some(eos) = eos.and_then(|eos| tokenizer.control(&eos)).or(first) {
            self.metadata.insert("tokenizer.ggml.eos_token_id".into(), Value::U32(eos));
        }
        for (name, key) in TOKENS {
            let text = config.as_ref().and_then(|config| config.token(name).ok().flatten());
            let id = |text: String| {
                let plain = || (0..tokenizer.vocab_size()).find(|id| tokenizer.token(*id) == Some(&text));
                tokenizer.control(&text).or_else(plain)
            };
            if let Some(id) = text.and_then(id) {
                self.metadata.insert(key.into(), Value::U32(id));
            }
        }
        Ok(())
    }

    /// `tokenizer.json`, and `tokenizer_config.json` where there is one.
    fn tokenizer_files(&self) -> Result<(&[u8], Option<&[u8]>), FormatError> {
        let file = |name: &str| self.small.get(name).map(Vec::as_slice);
        let missing = || match file(SENTENCEPIECE) {
            Some(_) => {
                let what = "a tokenizer of SentencePiece alone, which is not read".into();
                let instead =
                    "write a tokenizer.json beside it (transformers' AutoTokenizer, save_pretrained), or give a \
                               GGUF file"
                        .into();
                FormatError::file(format!("{}/{SENTENCEPIECE}", self.name), Fault::Kind { what, instead })
            }
            None => FormatError::file(format!("{}/{TOKENIZER}", self.name), Fault::Source(SourceCause::Missing)),
        };
        Ok((file(TOKENIZER).ok_or_else(missing)?, file(TOKENIZER_CONFIG)))
    }

    /// How many heads the rows of a tensor belong to, where their order differs from GGUF's.
    fn rotated_heads(&self, tensor: &Tensor) -> Option<u64> {
        let heads = match tensor.name.rsplit_once(".attn_")?.1 {
            "q.weight" | "q.bias" => self.heads,
            "k.weight" | "k.bias" => self.kv_heads,
            _ => return None,
        };
        // Shapes that contradict the heads are refused before the weights are loaded.
        let rows = Self::rows(tensor);
        let halves = heads.checked_mul(2).filter(|&halves| halves > 0)?;
        (rows > 0 && rows.is_multiple_of(halves)).then_some(heads)
    }

    /// Rows of a tensor that has an order of rows: those of a matrix, the floats of a bias.
    fn rows(tensor: &Tensor) -> u64 {
        tensor.shape.last().copied().unwrap_or(1)
    }

    /// Where a row of a tensor is in the files: transformers rotates row `i` of a head with row `i + half`, GGUF puts the two
    /// side by side.
    fn stored_row(row: u64, rows: u64, heads: Option<u64>) -> u64 {
        let Some(heads) = heads else { return row };
        let half = rows / heads / 2;
        let (head, within) = (row / (2 * half), row % (2 * half));
        head * 2 * half + within / 2 + within % 2 * half
    }

    /// Bytes of a tensor whose rows are not in the files as they are wanted.
    fn gathered(&self, tensor: &Tensor, range: Range<u64>) -> Result<Vec<u8>, FormatError> {
        let rows = Self::rows(tensor);
        let (row_bytes, heads) = (tensor.bytes / rows, self.rotated_heads(tensor));
        let (first, end) = (range.start / row_bytes, range.end.div_ceil(row_bytes));
        let order: Vec<u64> = (first..end).map(|row| Self::stored_row(row, rows, heads)).collect();
        let mut out = Vec::with_capacity(((end - first) * row_bytes) as usize);
        match self.packed.get(&tensor.name) {
            Some(packed) => packed.rows(&self.shards, &order, &mut out)?,
            None => {
                for row in order {
                    out.extend_from_slice(&self.stored(tensor, row * row_bytes..(row + 1) * row_bytes)?);
                }
            }
        }
        out.truncate((range.end - first * row_bytes) as usize);
        out.drain(..(range.start - first * row_bytes) as usize);
        Ok(out)
    }

    fn stored(&self, tensor: &Tensor, range: Range<u64>) -> Result<Cow<'_, [u8]>, FormatError> {
        match self.shards.get(tensor.part) {
            Some(source) => slice(source.as_ref(), tensor, range).map_err(|error| match error.subject {
                Subject::Tensor(name) => FormatError { subject: Subject::Tensor(self.own_name(&name)), ..error },
                _ => error,
            }),
            None => Err(FormatError::tensor(self.name.as_str(), self.own_name(&tensor.name), Fault::NoParts)),
        }
    }

    /// Whether two tensors are the same weights.
    fn are_equal(&self, one: &Tensor, other: &Tensor) -> Result<bool, FormatError> {
        const WEIGHTS: u64 = 1 << 20;
        if one.shape != other.shape {
            return Ok(false);
        }
        let all: u64 = one.shape.iter().product();
        for first in (0..all).step_by(WEIGHTS as usize) {
            let last = (first + WEIGHTS).min(all);
            let mut weights = [vec![0.0; (last - first) as usize], vec![0.0; (last - first) as usize]];
            for (tensor, weights) in [one, other].into_iter().zip(&mut weights) {
                let bytes = tensor.bytes / all;
                tensor.format.dequantize(&self.stored(tensor, first * bytes..last * bytes)?, weights);
            }
            if weights[0] != weights[1] {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Checkpoint for Repository {
    fn kind(&self) -> String {
        "safetensors".into()
    }

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.index.get(name).and_then(|&at| self.tensors.get(at))
    }

    fn data(&self, tensor: &Tensor, range: Range<u64>) -> Result<Cow<'_, [u8]>, FormatError> {
        let elsewhere = self.packed.contains_key(&tensor.name) || self.rotated_heads(tensor).is_some();
        if elsewhere && range.start < range.end && range.end <= tensor.bytes {
            return self.gathered(tensor, range).map(Cow::Owned);
        }
        self.stored(tensor, range)
    }

    fn place(&self, tensor: &Tensor, row: u64) -> Place {
        let shard = self.shards.get(tensor.part);
        let stored = shard.and_then(|shard| safetensors::tensors(shard.as_ref(), tensor.part).ok());
        let own = stored.into_iter().flatten().find(|stored| stored.offset == tensor.offset);
        Place {
            file: shard.map_or_else(|| self.name.clone(), |shard| shard.name().into()),
            tensor: own.map_or_else(|| tensor.name.clone(), |stored| stored.name),
            row: Self::stored_row(row, Self::rows(tensor), self.rotated_heads(tensor)),
        }
    }

    fn files(&self) -> Vec<&str> {
        self.shards.iter().map(|shard| shard.name()).collect()
    }

    fn file_bytes(&self) -> u64 {
        self.shards.iter().map(|shard| shard.len()).fold(0, u64::saturating_add)
    }

    fn paths(&self) -> Vec<PathBuf> {
        let shards = self.shards.iter().filter_map(|shard| Some(shard.path()?.into()));
        shards.chain(self.small.keys().map(|name| Path::new(&self.name).join(name))).collect()
    }

    fn identity(&self) -> Option<Vec<Identity>> {
        // The configuration decides which rows the shards' bytes become.
        let mut small: Vec<_> = self.small.iter().collect();
        small.sort();
        let mut hash = blake3::Hasher::new();
        for (name, bytes) in small {
            hash.update(name.as_bytes()).update(blake3::hash(bytes).as_bytes());
        }
        let state = hash.finalize().to_hex().to_string();
        let small = Identity { name: "configuration".into(), state };
        let shards = self.shards.iter().map(|shard| shard.identity());
        shards.chain([Some(small)]).collect()
    }

    fn tokenizer(&self) -> Result<Tokenizer, TokenizerError> {
        let (json, config) = self.tokenizer_files()?;
        Tokenizer::from_json_with_ends(json, config, &self.ends)
    }

    fn tokenizer_keys(&self) -> Result<Metadata, TokenizerError> {
        let (json, config) = self.tokenizer_files()?;
        let eos = self.metadata.u32("tokenizer.ggml.eos_token_id")?;
        let rows = self.tensor(EMBEDDING).and_then(|tensor| u32::try_from(*tensor.shape.get(1)?).ok());
        let beside = Beside { ends: &self.ends, eos, rows };
        Tokenizer::gguf_keys(json, config, beside)
    }

    fn own_name(&self, tensor: &str) -> String {
        hugging_face_name(tensor).unwrap_or_else(|| tensor.into())
    }

    fn unnamed_tensors(&self) -> &[String] {
        &self.unnamed
    }

    fn obstacles(&self) -> &[Error] {
        &self.obstacles
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn unknown_keys(&self) -> &[UnknownKey] {
        &self.unknown_keys
    }

    fn check_weights(&self) -> Result<(), Error> {
        let (Some(head), Some(embedding)) = (&self.tied_head, self.tensor(EMBEDDING)) else { return Ok(()) };
        if self.are_equal(head, embedding)? {
            return Ok(());
        }
        let detail = "tie_word_embeddings is true, but lm_head.weight is not model.embed_tokens.weight: set it to false \
                      where the head is to be used, or take the head out";
        let file = format!("{}/{CONFIG}", self.name);
        Err(ConfigError::Contradiction { file, detail: detail.into() }.into())
    }
}

/// All bytes of a small file.
fn all(file: &dyn Source) -> Result<Vec<u8>, FormatError> {
    let is_tokenizer = file.name().rsplit(['/', '\\']).next() == Some(TOKENIZER);
    let most = if is_tokenizer { MOST_TOKENIZER } else { MOST_SMALL };
    if file.len() > most {
        let fault = Fault::TooMuch { what: "its length", count: file.len(), most };
        return Err(FormatError::file(file.name(), fault));
    }
    let mut bytes = vec![0; file.len() as usize];
    file.read(0, &mut bytes)?;
    // Editors on Windows put a byte order mark before the text.
    if bytes.starts_with(b"\xef\xbb\xbf") {
        bytes.drain(..3);
    }
    Ok(bytes)
}

/// The index of the shards: which file each tensor is in.
#[derive(Deserialize)]
struct Index {
    weight_map: Option<WeightMap>,
}

impl Index {
    fn parse(name: &str, bytes: &[u8]) -> Result<Self, FormatError> {
        let index = match other_than_object(bytes) {
            Some(_) => Err(serde_json::Error::custom("no object")),
            None => serde_json::from_slice(bytes),
        };
        index.map_err(|e| FormatError::file(name, Fault::Json(json_fault(bytes, &e))))
    }
}

/// Tensors and their files, in the index's order.
struct WeightMap(Vec<(String, MaybeText)>);

impl<'de> Deserialize<'de> for WeightMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = WeightMap;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<WeightMap, A::Error> {
                let mut all = Vec::new();
                while let Some(entry) = entries.next_entry()? {
                    all.push(entry);
                }
                Ok(WeightMap(all))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

type Shards = (Vec<Box<dyn Source>>, Vec<Stored>);

/// The weight files that count, and their tensors: `model.safetensors`, or those that the index names.
fn shards(
    name: &str,
    mut weights: HashMap<String, Box<dyn Source>>,
    index: Option<Index>,
) -> Result<Shards, FormatError> {
    let mut shards: Vec<Box<dyn Source>> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let path = format!("{name}/{INDEX}");
    if let Some(whole) = weights.remove(WEIGHTS) {
        shards.push(whole);
    } else if let Some(index) = index {
        let Some(map) = &index.weight_map else {
            return Err(FormatError::key(path, "weight_map", Fault::KeyMissing));
        };
        let mut numbers: HashMap<&str, usize> = HashMap::new();
        for (tensor, file) in &map.0 {
            let wrong = |fault| FormatError::key(path.as_str(), tensor.as_str(), fault);
            let file = match &file.0 {
                Ok(file) => file.as_str(),
                Err(found) => {
                    return Err(wrong(Fault::ValueKind { expected: "a file name", found: found.clone() }));
                }
            };
            let number = match numbers.get(file) {
                Some(&number) => number,
                None => {
                    // Only files that were found in the folder: a name can't lead out of it.
                    let base = file.strip_prefix("./").unwrap_or(file);
                    let shard = weights.remove(base).ok_or_else(|| wrong(Fault::Shard(file.into())))?;
                    numbers.insert(file, shards.len());
                    shards.push(shard);
                    shards.len() - 1
                }
            };
            places.insert(tensor.clone(), number);
        }
    }
    if shards.is_empty() {
        let fault = if weights.is_empty() { Fault::NoWeights } else { Fault::NoIndex };
        return Err(FormatError::file(name, fault));
    }
    let indexed = !places.is_empty();
    let mut tensors = Vec::new();
    for (part, shard) in shards.iter().enumerate() {
        for tensor in safetensors::tensors(shard.as_ref(), part)? {
            // A copy in a shard that the index does not name is not the tensor.
            if !indexed || places.get(&tensor.name) == Some(&part) {
                places.remove(&tensor.name);
                tensors.push(tensor);
            }
        }
    }
    if let Some((tensor, part)) = places.into_iter().min() {
        let file = shards.get(part).map_or(name, |shard| shard.name());
        return Err(FormatError::tensor(file, tensor, Fault::NotInShard));
    }
    Ok((shards, tensors))
}

/// Takes what belongs to quantised matrices out of the tensors.
fn packed_matrices(
    shards: &[Box<dyn Source>],
    stored: Vec<Stored>,
    packing: Option<Packing>,
) -> Result<(Vec<Stored>, Vec<Packed>), FormatError> {
    let Some(packing) = packing else { return Ok((stored, Vec::new())) };
    let mut parts: BTreeMap<String, HashMap<&'static str, Stored>> = BTreeMap::new();
    let mut others = Vec::new();
    for tensor in stored {
        let part = packed::PARTS.into_iter().find_map(|part| Some((part, tensor.name.strip_suffix(part)?.to_owned())));
        let named = part.and_then(|(part, base)| Some((part, gguf_name(&format!("{base}weight"))?)));
        match named {
            Some((part, name)) => {
                parts.entry(name).or_default().insert(part, tensor);
            }
            None => others.push(tensor),
        }
    }
    let packed = parts.into_iter().map(|(name, parts)| Packed::new(packing, name, parts, shards));
    Ok((others, packed.collect::<Result<_, _>>()?))
}

/// Names of a layer's parts in the files, and GGUF's.
const PARTS: [(&str, &str); 9] = [
    ("input_layernorm", "attn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("post_attention_layernorm", "ffn_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
];

/// Names outside of layers in the files, and GGUF's.
const WHOLE: [(&str, &str); 3] =
    [("model.embed_tokens.weight", EMBEDDING), ("model.norm.weight", "output_norm.weight"), ("lm_head.weight", HEAD)];

/// GGUF's name of a tensor.
fn gguf_name(name: &str) -> Option<String> {
    if let Some((_, ours)) = WHOLE.iter().find(|(theirs, _)| *theirs == name) {
        return Some((*ours).into());
    }
    let (layer, rest) = name.strip_prefix("model.layers.")?.split_once('.')?;
    let (part, kind) = rest.rsplit_once('.')?;
    let (_, part) = PARTS.iter().find(|(theirs, _)| *theirs == part)?;
    // Norms have no biases in Llama.
    if kind != "weight" && (kind != "bias" || part.ends_with("norm")) {
        return None;
    }
    // `007` and `7` would be one layer.
    let number: u32 = layer.parse().ok().filter(|number: &u32| number.to_string() == layer)?;
    Some(format!("blk.{number}.{part}.{kind}"))
}

/// What the files call a tensor of GGUF's name.
fn hugging_face_name(name: &str) -> Option<String> {
    if let Some((theirs, _)) = WHOLE.iter().find(|(_, ours)| *ours == name) {
        return Some((*theirs).into());
    }
    let (layer, rest) = name.strip_prefix("blk.")?.split_once('.')?;
    let (part, kind) = rest.rsplit_once('.')?;
    let (part, _) = PARTS.iter().find(|(_, ours)| *ours == part)?;
    Some(format!("model.layers.{layer}.{part}.{kind}"))
}

/// What is said where matrices are quantised, and `config.json` does not say how.
fn unsaid_packing(config: &str, stored: &[Stored], has_quantize_config: bool) -> Option<ConfigError> {
    let packed = stored.iter().find(|tensor| tensor.name.ends_with(".qweight"));
    let scaled = || {
        let biases = |name: &str| stored.iter().any(|tensor| tensor.name == format!("{name}.biases"));
        stored.iter().find(|tensor| tensor.name.strip_suffix(".scales").is_some_and(biases))
    };
    let (what, instead) = match (packed, has_quantize_config) {
        (Some(tensor), true) => (
            format!("quantised by an old version of GPTQ or AWQ (`{}`, and quantize_config.json)", tensor.name),
            "write what quantize_config.json says into config.json as quantization_config with a quant_method, or give the \
             original repository or a GGUF file",
        ),
        (Some(tensor), false) => (
            format!(
                "quantised, by GPTQ or AWQ as it looks (`{}`), but config.json has no quantization_config",
                tensor.name
            ),
            "give the original repository or a GGUF file",
        ),
        (None, _) => {
            (format!("quantised by MLX (`{}`)", scaled()?.name), "give the original repository or a GGUF file")
        }
    };
    Some(ConfigError::Kind {
        file: config.into(),
        what: format!("a repository that was {what}"),
        instead: instead.into(),
    })
}
