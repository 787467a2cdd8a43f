//! A Hugging Face repository: a folder with `config.json`, weights in safetensors files, and
//! `tokenizer.json`.

mod biases;
mod checkpoint;
mod files;
mod index;
mod names;
mod quantized;
mod rows;
mod tokenizer;

use std::collections::HashMap;

use super::UnknownKey;
use super::config_json::Settings;
use super::json_file::JsonFile;
use super::packed::Packed;
use super::safetensors::Stored;
use crate::chat::TEMPLATE;
use crate::error::{ConfigError, Error};
use crate::gguf::{FormatCause, FormatError, Metadata, Tensor, Value};
use crate::io::{Source, SourceCause};
pub(crate) use files::is_part;
use files::{
    CHAT_TEMPLATE, CHAT_TEMPLATE_JSON, CONFIG, GENERATION, INDEX, QUANTIZE_CONFIG,
    TOKENIZER_CONFIG, all,
};
use index::{Index, shards};
use names::{EMBEDDING, HEAD, gguf_name};
use quantized::{packed_matrices, unsaid_packing};

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
}
