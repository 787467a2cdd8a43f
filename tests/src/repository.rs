//! Hugging Face repositories in the making: safetensors files byte by byte, as tests want them, and
//! models exported to them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use godwit::low_level::checkpoint::Checkpoint;
use godwit::low_level::gguf::{Array, Tensor, Value};
use godwit::low_level::io::{Bytes, Source};
use godwit::{Model, WeightFormat};
use half::{bf16, f16};
use serde_json::{Map, Value as Json, json};

/// One tensor of a safetensors file: its name, type, shape (the length of a row last), and bytes.
pub type Stored = (String, &'static str, Vec<u64>, Vec<u8>);

/// A safetensors file of these tensors, one after the other.
pub fn safetensors(tensors: &[Stored]) -> Vec<u8> {
    let mut offset = 0;
    let mut table = Map::new();
    for (name, dtype, shape, data) in tensors {
        table.insert(
            name.clone(),
            json!({"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + data.len()]}),
        );
        offset += data.len();
    }
    let mut file = with_header(&Json::Object(table).to_string());
    tensors.iter().for_each(|(.., data)| file.extend(data));
    file
}

/// The beginning of a safetensors file with this header.
pub fn with_header(header: &str) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat()
}

/// A tiny repository, valid as it is: one layer of width 64, two heads of 32, 32 tokens, weights of
/// zeros.
#[derive(Clone, Debug)]
pub struct Files {
    /// Names and contents.
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Files {
    /// The repository, in one weight file.
    pub fn tiny() -> Self {
        let mut files = BTreeMap::new();
        files.insert("config.json".into(), config().to_string().into_bytes());
        files.insert(
            "tokenizer.json".into(),
            tokenizer(32).to_string().into_bytes(),
        );
        files.insert("model.safetensors".into(), safetensors(&tiny_tensors()));
        Self { files }
    }

    /// The repository with another tokenizer, and an embedding of so many rows.
    pub fn with_tokenizer(tokenizer: &Json, rows: u32) -> Self {
        let mut tensors = tiny_tensors();
        (tensors[0].2, tensors[0].3) = (vec![u64::from(rows), 64], vec![0; 4 * 64 * rows as usize]);
        Self::tiny()
            .with("model.safetensors", safetensors(&tensors))
            .with("tokenizer.json", tokenizer.to_string())
            .set("vocab_size", rows.into())
            .set("eos_token_id", Json::Null)
    }

    /// The same in two shards.
    pub fn sharded() -> Self {
        let mut all = Self::tiny();
        all.files.remove("model.safetensors");
        let tensors = tiny_tensors();
        let (first, second) = tensors.split_at(4);
        let mut map = Map::new();
        for (name, part) in [("a.safetensors", first), ("b.safetensors", second)] {
            all.files.insert(name.into(), safetensors(part));
            map.extend(
                part.iter()
                    .map(|(tensor, ..)| (tensor.clone(), name.into())),
            );
        }
        all.files.insert(
            "model.safetensors.index.json".into(),
            json!({"weight_map": map}).to_string().into_bytes(),
        );
        all
    }

    /// Puts a file there.
    #[must_use]
    pub fn with(mut self, name: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.insert(name.into(), content.into());
        self
    }

    /// Takes a file away.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.files.remove(name);
        self
    }

    /// Sets a key of `config.json`.
    #[must_use]
    pub fn set(self, key: &str, value: Json) -> Self {
        let mut config: Json =
            serde_json::from_slice(&self.files["config.json"]).unwrap_or_else(|_| config());
        config[key] = value;
        self.with("config.json", config.to_string())
    }

    /// Opens it.
    ///
    /// # Errors
    /// As [`Model::from_repository`].
    pub fn open(&self) -> Result<Model, godwit::Error> {
        let source = |(name, data): (&String, &Vec<u8>)| -> Box<dyn Source> {
            Box::new(Bytes {
                name: format!("repo/{name}"),
                data: data.clone(),
            })
        };
        Model::from_repository("repo", self.files.iter().map(source).collect())
    }
}

/// The tiny repository's tensors.
pub fn tiny_tensors() -> Vec<Stored> {
    let tensor = |name: &str, shape: &[u64]| {
        let bytes = 4 * shape.iter().product::<u64>() as usize;
        (name.to_owned(), "F32", shape.to_vec(), vec![0; bytes])
    };
    let mut all = vec![
        tensor("model.embed_tokens.weight", &[32, 64]),
        tensor("model.norm.weight", &[64]),
    ];
    for name in ["input_layernorm", "post_attention_layernorm"] {
        all.push(tensor(&format!("model.layers.0.{name}.weight"), &[64]));
    }
    for name in [
        "self_attn.q_proj",
        "self_attn.k_proj",
        "self_attn.v_proj",
        "self_attn.o_proj",
    ] {
        all.push(tensor(&format!("model.layers.0.{name}.weight"), &[64, 64]));
    }
    for name in ["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"] {
        all.push(tensor(&format!("model.layers.0.{name}.weight"), &[64, 64]));
    }
    all
}

/// The tiny repository's `config.json`.
pub fn config() -> Json {
    json!({
        "model_type": "llama", "num_hidden_layers": 1, "hidden_size": 64, "intermediate_size": 64,
        "num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": 32,
        "max_position_embeddings": 128,
        "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu",
        "tie_word_embeddings": true,
        "eos_token_id": 31,
    })
}

/// A byte-level `tokenizer.json` of so many tokens.
pub fn tokenizer(tokens: u32) -> Json {
    let vocab: Map<String, Json> = (0..tokens)
        .map(|id| (format!("t{id}"), id.into()))
        .collect();
    json!({
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false}, "added_tokens": [],
        "model": {"type": "BPE", "vocab": vocab, "merges": []},
    })
}

/// Writes a model's weights in F32, F16 or BF16, hyperparameters and tokenizer as a repository, the
/// rows of queries and keys in transformers' order, into `shards` files.
///
/// # Panics
/// The model's tokenizer is neither SmolLM2's nor a synthetic one, or the folder can't be written.
pub fn export(model: &Model, folder: &Path, format: WeightFormat, shards: usize) {
    let (c, checkpoint) = (model.config(), model.checkpoint());
    let write = |name: &str, content: &[u8]| {
        std::fs::write(folder.join(name), content).expect("a written file")
    };
    let tied = checkpoint.tensor("output.weight").is_none();
    let config = json!({
        "model_type": "llama", "num_hidden_layers": c.layers, "hidden_size": c.width,
        "intermediate_size": c.ffn,
        "num_attention_heads": c.heads, "num_key_value_heads": c.kv_heads, "vocab_size": c.vocab,
        "hidden_act": "silu",
        "max_position_embeddings": c.context, "rms_norm_eps": c.eps, "rope_theta": c.theta,
        "tie_word_embeddings": tied,
    });
    write("config.json", config.to_string().as_bytes());
    let (tokenizer, tokenizer_config) = smollm_tokenizer(model);
    write("tokenizer.json", tokenizer.to_string().as_bytes());
    write(
        "tokenizer_config.json",
        tokenizer_config.to_string().as_bytes(),
    );

    let half = c.head_dim as usize / 2;
    let mut map = Map::new();
    for part in 0..shards {
        let name = match shards {
            1 => "model.safetensors".to_owned(),
            _ => format!("model-{:05}-of-{shards:05}.safetensors", part + 1),
        };
        // Neighbours come to lie in different files.
        let own = || checkpoint.tensors().iter().skip(part).step_by(shards);
        let (mut table, mut offset) = (Map::new(), 0);
        for tensor in own() {
            let shape: Vec<u64> = tensor.shape.iter().rev().copied().collect();
            let end = offset + format.bytes(shape.iter().product()).expect("floats");
            let stored = hugging_face_name(&tensor.name);
            table.insert(
                stored.clone(),
                json!({"dtype": format.name(), "shape": shape, "data_offsets": [offset, end]}),
            );
            map.insert(stored, name.clone().into());
            offset = end;
        }
        let mut file = BufWriter::new(File::create(folder.join(&name)).expect("a file"));
        file.write_all(&with_header(&Json::Object(table).to_string()))
            .expect("a written header");
        own().for_each(|tensor| {
            file.write_all(&floats(checkpoint, tensor, format, half))
                .expect("written weights")
        });
        file.flush().expect("a written file");
    }
    if shards > 1 {
        write(
            "model.safetensors.index.json",
            json!({"weight_map": map}).to_string().as_bytes(),
        );
    }
}

/// A tensor's bytes in a format of floats, the rows of queries and keys in transformers' order.
fn floats(
    checkpoint: &dyn Checkpoint,
    tensor: &Tensor,
    format: WeightFormat,
    half: usize,
) -> Vec<u8> {
    let bytes = checkpoint.data(tensor, 0..tensor.bytes).expect("its data");
    let mut weights = vec![0.0; tensor.shape.iter().product::<u64>() as usize];
    tensor.format.dequantize(&bytes, &mut weights);
    let width = tensor.shape[0] as usize;
    if tensor.name.contains("attn_q.") || tensor.name.contains("attn_k.") {
        let paired = weights.clone();
        for (row, out) in weights.chunks_exact_mut(width).enumerate() {
            let (head, within) = (row / (2 * half), row % (2 * half));
            let from = head * 2 * half + 2 * (within % half) + within / half;
            out.copy_from_slice(&paired[from * width..][..width]);
        }
    }
    match format {
        WeightFormat::F32 => bytemuck::cast_slice(&weights).to_vec(),
        WeightFormat::F16 => weights
            .iter()
            .flat_map(|&w| f16::from_f32(w).to_le_bytes())
            .collect(),
        _ => weights
            .iter()
            .flat_map(|&w| bf16::from_f32(w).to_le_bytes())
            .collect(),
    }
}

fn hugging_face_name(name: &str) -> String {
    let (layer, part) = match name
        .strip_prefix("blk.")
        .and_then(|rest| rest.split_once('.'))
    {
        Some((layer, part)) => (format!("model.layers.{layer}."), part),
        None => (String::new(), name),
    };
    let part = match part.trim_end_matches(".weight") {
        "token_embd" => "model.embed_tokens",
        "output_norm" => "model.norm",
        "output" => "lm_head",
        "attn_norm" => "input_layernorm",
        "attn_q" => "self_attn.q_proj",
        "attn_k" => "self_attn.k_proj",
        "attn_v" => "self_attn.v_proj",
        "attn_output" => "self_attn.o_proj",
        "ffn_norm" => "post_attention_layernorm",
        "ffn_gate" => "mlp.gate_proj",
        "ffn_up" => "mlp.up_proj",
        "ffn_down" => "mlp.down_proj",
        other => other,
    };
    format!("{layer}{part}.weight")
}

/// SmolLM2's tokenizer as `tokenizer.json` and `tokenizer_config.json`.
///
/// # Panics
/// The model's tokenizer is another.
pub fn smollm_tokenizer(model: &Model) -> (Json, Json) {
    let metadata = model.checkpoint().metadata();
    let strings = |key: &str| {
        metadata
            .strings(key)
            .expect("strings")
            .expect("a list")
            .to_vec()
    };
    let (tokens, merges) = (
        strings("tokenizer.ggml.tokens"),
        strings("tokenizer.ggml.merges"),
    );
    let kinds = match metadata.get("tokenizer.ggml.token_type") {
        Some(Value::Array(Array::I32(kinds))) => kinds.clone(),
        other => vec![i32::from(other.is_none()); tokens.len()],
    };
    let vocab: Map<String, Json> = tokens
        .iter()
        .zip(0..)
        .map(|(text, id): (_, u32)| (text.clone(), id.into()))
        .collect();
    let control = tokens
        .iter()
        .zip(&kinds)
        .zip(0..)
        .filter(|((_, kind), _)| **kind == 3);
    let added: Vec<Json> = control
        .map(|((text, _), id): (_, u32)| json!({"id": id, "content": text, "special": true}))
        .collect();
    let tokenizer = json!({
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Digits", "individual_digits": true},
            {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
        ]},
        "added_tokens": added,
        "model": {"type": "BPE", "vocab": vocab, "merges": merges},
    });
    let token = |key: &str| {
        metadata
            .u32(key)
            .ok()
            .flatten()
            .map(|id| tokens[id as usize].clone())
    };
    let adds_bos = metadata
        .bool("tokenizer.ggml.add_bos_token")
        .ok()
        .flatten()
        .unwrap_or(false);
    let config = json!({
        "bos_token": token("tokenizer.ggml.bos_token_id"),
        "eos_token": token("tokenizer.ggml.eos_token_id"),
        "add_bos_token": adds_bos,
        "chat_template": metadata.string("tokenizer.chat_template").ok().flatten(),
    });
    (tokenizer, config)
}
