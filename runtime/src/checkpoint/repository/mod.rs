//! A Hugging Face repository: a folder with `config.json`, weights in safetensors files, and
//! `tokenizer.json`.

mod index;
mod names;
mod quantized;
mod rows;

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::config_json::{JsonFile, Settings};
use super::packed::Packed;
use super::safetensors::{self, Stored};
use super::{Checkpoint, Place, UnknownKey};
use crate::chat::{TEMPLATE, TOKENS};
use crate::error::{ConfigError, Error};
use crate::gguf::{FormatCause, FormatError, Metadata, Tensor, Value};
use crate::io::{Identity, Source, SourceCause};
use crate::tokenizer::{Beside, Tokenizer, TokenizerError};
use index::{Index, shards};
use names::{EMBEDDING, HEAD, gguf_name, hugging_face_name};
use quantized::{packed_matrices, unsaid_packing};

const CONFIG: &str = "config.json";
const GENERATION: &str = "generation_config.json";
const TOKENIZER: &str = "tokenizer.json";
/// SentencePiece's file, which Godwit does not read.
const SENTENCEPIECE: &str = "tokenizer.model";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const CHAT_TEMPLATE: &str = "chat_template.jinja";
/// Where older versions of transformers put templates.
const CHAT_TEMPLATE_JSON: &str = "chat_template.json";
/// Where older GPTQ tools say how they have quantised.
const QUANTIZE_CONFIG: &str = "quantize_config.json";
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

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

/// A repository, read as a checkpoint. Query and key rows come in GGUF's order, whatever the order
/// in the files.
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
    /// Reads the configuration and the tables of the shards. `files` are all files of the
    /// repository, or those that matter; a name's last part counts. No weights are read.
    ///
    /// # Errors
    /// Names the file and the key or tensor that is missing, contradictory, or not supported.
    pub fn read(name: &str, files: Vec<Box<dyn Source>>) -> Result<Self, Error> {
        let (mut small, mut weights) = (HashMap::new(), HashMap::new());
        for file in files {
            let base = file
                .name()
                .rsplit(['/', '\\'])
                .next()
                .unwrap_or_default()
                .to_owned();
            if base.ends_with(".safetensors") {
                weights.insert(base, file);
            } else if is_part(&base) {
                small.insert(base, all(file.as_ref())?);
            }
        }
        let path = |file: &str| format!("{name}/{file}");
        let json = |file: &str| {
            small
                .get(file)
                .map(|bytes| JsonFile::parse(&path(file), bytes))
                .transpose()
        };
        let config = json(CONFIG)?.ok_or_else(|| {
            FormatError::file(path(CONFIG), FormatCause::Source(SourceCause::Missing))
        })?;
        let mut settings = Settings::read(&config)?;
        let mut ends = config.ids("eos_token_id")?;
        if let Some(generation) = json(GENERATION)? {
            settings.generation(&generation);
            ends.extend(generation.ids("eos_token_id")?);
        }
        if let Some(template) = small
            .get(CHAT_TEMPLATE)
            .filter(|template| !template.is_empty())
        {
            settings
                .metadata
                .set_origin(TEMPLATE, &path(CHAT_TEMPLATE), "the template");
            match std::str::from_utf8(template) {
                Ok(text) => {
                    _ = settings
                        .metadata
                        .insert(TEMPLATE.into(), Value::String(text.into()))
                }
                Err(_) => {
                    let error = FormatError::file(
                        path(CHAT_TEMPLATE),
                        FormatCause::Utf8 {
                            what: "the template",
                        },
                    );
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
        let index = small
            .get(INDEX)
            .map(|bytes| Index::parse(&path(INDEX), bytes))
            .transpose()?;
        let (shards, stored) = shards(name, weights, index)?;
        let Settings {
            metadata,
            tied,
            packing,
            obstacles,
            unknown,
            notes,
        } = settings;
        let unknown_keys = unknown
            .into_iter()
            .map(|key| UnknownKey {
                file: CONFIG.into(),
                key,
            })
            .collect();
        let mut obstacles: Vec<Error> = obstacles.into_iter().map(Error::from).collect();
        if packing.is_none()
            && obstacles.is_empty()
            && let Some(error) =
                unsaid_packing(&path(CONFIG), &stored, json(QUANTIZE_CONFIG)?.is_some())
        {
            obstacles.push(error.into());
        }
        // A count that makes no sense is an error where it is needed.
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
            packed: packed
                .into_iter()
                .map(|packed| (packed.tensor.name.clone(), packed))
                .collect(),
            heads,
            kv_heads,
        };
        all.name_tensors(stored, tied);
        all.check_biases(&config)?;
        if !tied && all.index.contains_key(EMBEDDING) && !all.index.contains_key(HEAD) {
            let detail = "tie_word_embeddings is false, but there is no lm_head.weight".into();
            all.obstacles.push(
                ConfigError::Contradiction {
                    file: path(CONFIG),
                    detail,
                }
                .into(),
            );
        }
        all.describe()?;
        Ok(all)
    }

    /// Takes the tensors in by GGUF's names; keeps the names of those that GGUF has none for.
    fn name_tensors(&mut self, stored: Vec<Stored>, tied: bool) {
        let mut tensors = Vec::new();
        for tensor in stored {
            let file = self
                .shards
                .get(tensor.part)
                .map_or_else(String::new, |shard| shard.name().into());
            let Some(name) = gguf_name(&tensor.name) else {
                self.unnamed.push(tensor.name);
                continue;
            };
            match tensor.floats(name, &file) {
                Ok(tensor) if tensor.name == HEAD && tied => {
                    self.notes
                        .push("tie_word_embeddings is true: lm_head.weight is not used".into());
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
        self.index = self
            .tensors
            .iter()
            .enumerate()
            .map(|(at, tensor)| (tensor.name.clone(), at))
            .collect();
    }

    /// Holds what `config.json` says of biases against the tensors. Where it says that there are
    /// none, those of zeros are left out; others are an obstacle.
    fn check_biases(&mut self, config: &JsonFile) -> Result<(), FormatError> {
        for (key, part) in [("attention_bias", ".attn_"), ("mlp_bias", ".ffn_")] {
            let said = config.bool(key)?;
            let is_bias =
                |tensor: &Tensor| tensor.name.contains(part) && tensor.name.ends_with(".bias");
            let biases: Vec<Tensor> = self
                .tensors
                .iter()
                .filter(|tensor| is_bias(tensor))
                .cloned()
                .collect();
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
                        Some(name) => {
                            format!("{key} is false, but there is `{name}`, which is not zero")
                        }
                        None => {
                            self.tensors.retain(|tensor| !is_bias(tensor));
                            self.index_tensors();
                            continue;
                        }
                    }
                }
                _ => continue,
            };
            self.obstacles.push(
                ConfigError::Contradiction {
                    file: config.name().into(),
                    detail,
                }
                .into(),
            );
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
        let base = self
            .name
            .trim_end_matches(['/', '\\'])
            .rsplit(['/', '\\'])
            .next()
            .unwrap_or_default();
        self.metadata
            .insert("general.name".into(), Value::String(base.into()));
        let path = format!("{}/{TOKENIZER_CONFIG}", self.name);
        let config = self
            .small
            .get(TOKENIZER_CONFIG)
            .map(|bytes| JsonFile::parse(&path, bytes))
            .transpose()?;
        let eos = config
            .as_ref()
            .map(|config| config.token("eos_token"))
            .transpose()?
            .flatten();
        // A tokenizer that can't be read is an error where it is needed.
        let Ok(tokenizer) = self.tokenizer() else {
            return Ok(());
        };
        let first = self
            .ends
            .iter()
            .copied()
            .find(|&id| id < tokenizer.vocab_size());
        if let Some(eos) = eos.and_then(|eos| tokenizer.control(&eos)).or(first) {
            self.metadata
                .insert("tokenizer.ggml.eos_token_id".into(), Value::U32(eos));
        }
        for (name, key) in TOKENS {
            let text = config
                .as_ref()
                .and_then(|config| config.token(name).ok().flatten());
            let id = |text: String| {
                let plain =
                    || (0..tokenizer.vocab_size()).find(|id| tokenizer.token(*id) == Some(&text));
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
                let instead = "write a tokenizer.json beside it (transformers' AutoTokenizer, \
                     save_pretrained), or give a \
                               GGUF file"
                    .into();
                FormatError::file(
                    format!("{}/{SENTENCEPIECE}", self.name),
                    FormatCause::Kind { what, instead },
                )
            }
            None => FormatError::file(
                format!("{}/{TOKENIZER}", self.name),
                FormatCause::Source(SourceCause::Missing),
            ),
        };
        Ok((file(TOKENIZER).ok_or_else(missing)?, file(TOKENIZER_CONFIG)))
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
        let elsewhere =
            self.packed.contains_key(&tensor.name) || self.rotated_heads(tensor).is_some();
        if elsewhere && range.start < range.end && range.end <= tensor.bytes {
            return self.gathered(tensor, range).map(Cow::Owned);
        }
        self.stored(tensor, range)
    }

    fn place(&self, tensor: &Tensor, row: u64) -> Place {
        let shard = self.shards.get(tensor.part);
        let stored = shard.and_then(|shard| safetensors::tensors(shard.as_ref(), tensor.part).ok());
        let own = stored
            .into_iter()
            .flatten()
            .find(|stored| stored.offset == tensor.offset);
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
        self.shards
            .iter()
            .map(|shard| shard.len())
            .fold(0, u64::saturating_add)
    }

    fn paths(&self) -> Vec<PathBuf> {
        let shards = self
            .shards
            .iter()
            .filter_map(|shard| Some(shard.path()?.into()));
        shards
            .chain(
                self.small
                    .keys()
                    .map(|name| Path::new(&self.name).join(name)),
            )
            .collect()
    }

    fn identity(&self) -> Option<Vec<Identity>> {
        // The configuration decides which rows the shards' bytes become.
        let mut small: Vec<_> = self.small.iter().collect();
        small.sort();
        let mut hash = blake3::Hasher::new();
        for (name, bytes) in small {
            hash.update(name.as_bytes())
                .update(blake3::hash(bytes).as_bytes());
        }
        let state = hash.finalize().to_hex().to_string();
        let small = Identity {
            name: "configuration".into(),
            state,
        };
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
        let rows = self
            .tensor(EMBEDDING)
            .and_then(|tensor| u32::try_from(*tensor.shape.get(1)?).ok());
        let beside = Beside {
            ends: &self.ends,
            eos,
            rows,
        };
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
        let (Some(head), Some(embedding)) = (&self.tied_head, self.tensor(EMBEDDING)) else {
            return Ok(());
        };
        if self.are_equal(head, embedding)? {
            return Ok(());
        }
        let detail = "tie_word_embeddings is true, but lm_head.weight is not \
            model.embed_tokens.weight: set it to false \
                      where the head is to be used, or take the head out";
        let file = format!("{}/{CONFIG}", self.name);
        Err(ConfigError::Contradiction {
            file,
            detail: detail.into(),
        }
        .into())
    }
}

/// All bytes of a small file.
fn all(file: &dyn Source) -> Result<Vec<u8>, FormatError> {
    let is_tokenizer = file.name().rsplit(['/', '\\']).next() == Some(TOKENIZER);
    let most = if is_tokenizer {
        MOST_TOKENIZER
    } else {
        MOST_SMALL
    };
    if file.len() > most {
        let cause = FormatCause::TooMuch {
            what: "its length",
            count: file.len(),
            most,
        };
        return Err(FormatError::file(file.name(), cause));
    }
    let mut bytes = vec![0; file.len() as usize];
    file.read(0, &mut bytes)?;
    // Editors on Windows put a byte order mark before the text.
    if bytes.starts_with(b"\xef\xbb\xbf") {
        bytes.drain(..3);
    }
    Ok(bytes)
}
