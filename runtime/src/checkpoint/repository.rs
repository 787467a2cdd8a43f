//! A Hugging Face repository: a folder with `config.json`, weights in safetensors files, and `tokenizer.json`.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use super::Checkpoint;
use super::config_json::{JsonFile, Settings};
use super::packed::{self, Packed, Packing};
use super::safetensors::{self, Stored};
use crate::chat::TEMPLATE;
use crate::error::Error;
use crate::format::{Fault, FormatError, Metadata, Source, Tensor, Value, slice};
use crate::model::ConfigError;
use crate::tokenizer::{Beside, Tokenizer, TokenizerError};

const CONFIG: &str = "config.json";
const GENERATION: &str = "generation_config.json";
const TOKENIZER: &str = "tokenizer.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const CHAT_TEMPLATE: &str = "chat_template.jinja";
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

const EMBEDDING: &str = "token_embd.weight";
const HEAD: &str = "output.weight";

/// The largest of the JSON files, in bytes: real tokenizers are below 40 MB.
const MOST_JSON: u64 = 256 << 20;

/// Whether a file of this name may be part of a repository.
pub(crate) fn is_part(name: &str) -> bool {
    let small = [CONFIG, GENERATION, TOKENIZER, TOKENIZER_CONFIG, CHAT_TEMPLATE, INDEX];
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
        let config = json(CONFIG)?.ok_or_else(|| FormatError::file(path(CONFIG), Fault::Missing))?;
        let mut settings = Settings::read(&config)?;
        let mut ends = config.ids("eos_token_id")?;
        if let Some(generation) = json(GENERATION)? {
            settings.generation(&generation)?;
            ends.extend(generation.ids("eos_token_id")?);
        }
        match small.get(CHAT_TEMPLATE) {
            Some(template) => {
                let utf8 = Fault::Utf8 { what: "the template" };
                let text = std::str::from_utf8(template).map_err(|_| FormatError::file(path(CHAT_TEMPLATE), utf8))?;
                settings.metadata.insert(TEMPLATE.into(), Value::String(text.into()));
            }
            None => {
                if let Some(file) = json(TOKENIZER_CONFIG)? {
                    settings.chat_template(&file)?;
                }
            }
        }
        let (shards, stored) = shards(name, weights, json(INDEX)?)?;
        let Settings { metadata, tied, packing, mut notes } = settings;
        let count = |key| metadata.u64(key).map(|n| n.unwrap_or(0));
        let heads = count("llama.attention.head_count")?;
        let kv_heads = metadata.u64("llama.attention.head_count_kv")?.unwrap_or(heads);
        let (stored, packed) = packed_matrices(&shards, stored, packing)?;
        let mut tensors = renamed(&shards, stored, tied, &mut notes)?;
        tensors.extend(packed.iter().map(|packed| packed.tensor.clone()));
        let packed = packed.into_iter().map(|packed| (packed.tensor.name.clone(), packed)).collect();
        let index: HashMap<String, usize> =
            tensors.iter().enumerate().map(|(at, tensor)| (tensor.name.clone(), at)).collect();
        if !tied && index.contains_key(EMBEDDING) && !index.contains_key(HEAD) {
            let detail = "tie_word_embeddings is false, but there is no lm_head.weight".into();
            return Err(ConfigError::Contradiction { file: path(CONFIG), detail }.into());
        }
        let mut all =
            Self { name: name.into(), metadata, notes, small, ends, shards, tensors, index, packed, heads, kv_heads };
        all.describe()?;
        Ok(all)
    }

    /// Adds what only the tokenizer knows to the metadata: what templates call `eos_token`.
    fn describe(&mut self) -> Result<(), Error> {
        let base = self.name.trim_end_matches(['/', '\\']).rsplit(['/', '\\']).next().unwrap_or_default();
        self.metadata.insert("general.name".into(), Value::String(base.into()));
        let config =
            self.small.get(TOKENIZER_CONFIG).map(|bytes| JsonFile::parse(TOKENIZER_CONFIG, bytes)).transpose()?;
        let eos = config.map(|config| config.token("eos_token")).transpose()?.flatten();
        let tokenizer = self.tokenizer()?;
        let first = self.ends.iter().copied().find(|&id| id < tokenizer.vocab_size());
        if let Some(eos) = eos.and_then(|eos| tokenizer.control(&eos)).or(first) {
            self.metadata.insert("tokenizer.ggml.eos_token_id".into(), Value::U32(eos));
        }
        Ok(())
    }

    /// `tokenizer.json`, and `tokenizer_config.json` where there is one.
    fn tokenizer_files(&self) -> Result<(&[u8], Option<&[u8]>), FormatError> {
        let file = |name: &str| self.small.get(name).map(Vec::as_slice);
        let missing = || FormatError::file(format!("{}/{TOKENIZER}", self.name), Fault::Missing);
        Ok((file(TOKENIZER).ok_or_else(missing)?, file(TOKENIZER_CONFIG)))
    }

    /// How many heads the rows of a tensor belong to, where their order differs from GGUF's.
    fn rotated_heads(&self, tensor: &Tensor) -> Option<u64> {
        let heads = match tensor.name.rsplit_once(".attn_")?.1 {
            "q.weight" => self.heads,
            "k.weight" => self.kv_heads,
            _ => return None,
        };
        // Shapes that contradict the heads are refused when the weights are loaded.
        let rows = *tensor.shape.get(1)?;
        (heads > 0 && rows.is_multiple_of(2 * heads)).then_some(heads)
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
        let rows = tensor.shape.get(1).copied().unwrap_or(1);
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
            Some(source) => slice(source.as_ref(), tensor, range),
            None => Err(FormatError::tensor(self.name.as_str(), &tensor.name, Fault::NoParts)),
        }
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

    fn files(&self) -> Vec<&str> {
        self.shards.iter().map(|shard| shard.name()).collect()
    }

    fn file_bytes(&self) -> u64 {
        self.shards.iter().map(|shard| shard.len()).fold(0, u64::saturating_add)
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

    fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// All bytes of a small file.
fn all(file: &dyn Source) -> Result<Vec<u8>, FormatError> {
    if file.len() > MOST_JSON {
        let fault = Fault::TooMuch { what: "its length", count: file.len(), most: MOST_JSON };
        return Err(FormatError::file(file.name(), fault));
    }
    let mut bytes = vec![0; file.len() as usize];
    file.read(0, &mut bytes)?;
    Ok(bytes)
}

type Shards = (Vec<Box<dyn Source>>, Vec<Stored>);

/// The weight files that count, and their tensors: `model.safetensors`, or those that the index names.
fn shards(
    name: &str,
    mut weights: HashMap<String, Box<dyn Source>>,
    index: Option<JsonFile>,
) -> Result<Shards, FormatError> {
    let mut shards: Vec<Box<dyn Source>> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let path = format!("{name}/{INDEX}");
    if let Some(whole) = weights.remove(WEIGHTS) {
        shards.push(whole);
    } else if let Some(index) = index {
        let Some(map) = index.object("weight_map")? else {
            return Err(FormatError::key(path, "weight_map", Fault::KeyMissing));
        };
        let mut numbers: HashMap<&str, usize> = HashMap::new();
        for (tensor, file) in map.entries() {
            let wrong = |fault| FormatError::key(path.as_str(), tensor, fault);
            let Some(file) = file.as_str() else {
                return Err(wrong(Fault::ValueKind { expected: "a file name", found: file.to_string() }));
            };
            let number = match numbers.get(file) {
                Some(&number) => number,
                None => {
                    // Only files that were found in the folder: a name can't lead out of it.
                    let shard = weights.remove(file).ok_or_else(|| wrong(Fault::Shard(file.into())))?;
                    numbers.insert(file, shards.len());
                    shards.push(shard);
                    shards.len() - 1
                }
            };
            places.insert(tensor.into(), number);
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

/// The tensors by GGUF's names; those that mean nothing to the model left out.
fn renamed(
    shards: &[Box<dyn Source>],
    stored: Vec<Stored>,
    tied: bool,
    notes: &mut Vec<String>,
) -> Result<Vec<Tensor>, ConfigError> {
    let mut tensors = Vec::new();
    let mut others = Vec::new();
    for tensor in stored {
        let file = || shards.get(tensor.part).map_or_else(String::new, |shard| shard.name().into());
        match gguf_name(&tensor.name) {
            Some(name) if name == HEAD && tied => {
                notes.push("tie_word_embeddings is true: lm_head.weight is not used".into());
            }
            Some(name) => {
                let file = file();
                tensors.push(tensor.floats(name, &file)?);
            }
            None if tensor.name.ends_with("rotary_emb.inv_freq") => {}
            None if tensor.name.ends_with(".bias") => {
                let key = tensor.name.escape_debug().to_string();
                let (value, known) = ("there".into(), "models without biases".into());
                return Err(ConfigError::Unsupported { file: file(), key, value, known });
            }
            None => others.push(tensor.name),
        }
    }
    if let Some(first) = others.iter().min() {
        notes.push(format!("{} tensors are not used, such as {}", others.len(), first.escape_debug()));
    }
    Ok(tensors)
}

/// GGUF's name of a tensor.
fn gguf_name(name: &str) -> Option<String> {
    let own = match name {
        "model.embed_tokens.weight" => EMBEDDING.into(),
        "model.norm.weight" => "output_norm.weight".into(),
        "lm_head.weight" => HEAD.into(),
        other => {
            let (layer, part) = other.strip_prefix("model.layers.")?.split_once('.')?;
            let part = match part.strip_suffix(".weight")? {
                "input_layernorm" => "attn_norm",
                "self_attn.q_proj" => "attn_q",
                "self_attn.k_proj" => "attn_k",
                "self_attn.v_proj" => "attn_v",
                "self_attn.o_proj" => "attn_output",
                "post_attention_layernorm" => "ffn_norm",
                "mlp.gate_proj" => "ffn_gate",
                "mlp.up_proj" => "ffn_up",
                "mlp.down_proj" => "ffn_down",
                _ => return None,
            };
            // `007` and `7` would be one layer.
            let number: u32 = layer.parse().ok().filter(|number: &u32| number.to_string() == layer)?;
            format!("blk.{number}.{part}.weight")
        }
    };
    Some(own)
}
