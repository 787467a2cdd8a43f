//! Tiny models as folders of safetensors files, the way they are published: `config.json`,
//! `tokenizer.json`, and weights in one file or in shards with an index.

use std::fs;
use std::io;
use std::path::Path;

use godwit_shaders::testing::Random;
use half::{bf16, f16};
use safetensors::tensor::{Dtype, TensorView, serialize};
use serde_json::{Value, json};

/// A weight: its name, its shape, rows first, and its floats.
#[derive(Clone, Debug, PartialEq)]
pub struct Weight {
    /// The name.
    pub name: String,
    /// The shape, as PyTorch gives it: `[rows, width]`, or `[width]`.
    pub shape: Vec<usize>,
    /// The floats, row by row.
    pub floats: Vec<f32>,
}

/// A model in the making. Whatever is to be wrong in a test can be changed before it is written.
#[derive(Clone, Debug)]
pub struct Folder {
    /// `config.json`.
    pub config: Value,
    /// `tokenizer.json`.
    pub tokenizer: Value,
    /// The weights, in order.
    pub weights: Vec<Weight>,
    /// Their type in the file: `F32`, `F16` or `BF16`.
    pub dtype: Dtype,
    /// Files that they are dealt out to.
    pub shards: usize,
}

/// The shape of a tiny model.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// KV heads.
    pub kv_heads: usize,
    /// Floats in a head. The model is `heads * head_dim` wide.
    pub head_dim: usize,
    /// Rows of the feed-forward matrices.
    pub ffn: usize,
    /// Tokens: 256 for the bytes, and more without a text of their own.
    pub vocab: usize,
    /// Whether the embedding is the output head too.
    pub tied: bool,
}

impl Folder {
    /// A Llama model of this shape with random weights, small enough that activations stay near 1.
    pub fn llama(shape: Shape, dtype: Dtype, seed: u64) -> Self {
        let Shape {
            layers,
            heads,
            kv_heads,
            head_dim,
            ffn,
            vocab,
            tied,
        } = shape;
        let width = heads * head_dim;
        let mut random = Random::new(seed);
        let mut weights = Vec::new();
        let mut weight = |name: String, shape: &[usize]| {
            let scale = 1.0 / (shape[shape.len() - 1] as f32).sqrt();
            let float = |x: f32| {
                if shape.len() == 1 {
                    1.0 + 0.1 * x
                } else {
                    scale * x
                }
            };
            let floats = (0..shape.iter().product())
                .map(|_| float(random.normal()))
                .collect();
            weights.push(Weight {
                name,
                shape: shape.to_vec(),
                floats,
            });
        };
        weight("model.embed_tokens.weight".into(), &[vocab, width]);
        for layer in 0..layers {
            let mut part = |part: &str, shape: &[usize]| {
                weight(format!("model.layers.{layer}.{part}.weight"), shape)
            };
            part("input_layernorm", &[width]);
            part("self_attn.q_proj", &[width, width]);
            part("self_attn.k_proj", &[kv_heads * head_dim, width]);
            part("self_attn.v_proj", &[kv_heads * head_dim, width]);
            part("self_attn.o_proj", &[width, width]);
            part("post_attention_layernorm", &[width]);
            part("mlp.gate_proj", &[ffn, width]);
            part("mlp.up_proj", &[ffn, width]);
            part("mlp.down_proj", &[width, ffn]);
        }
        weight("model.norm.weight".into(), &[width]);
        if !tied {
            weight("lm_head.weight".into(), &[vocab, width]);
        }
        let config = json!({
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
            "num_hidden_layers": layers, "hidden_size": width, "intermediate_size": ffn,
            "num_attention_heads": heads, "num_key_value_heads": kv_heads, "head_dim": head_dim,
            "vocab_size": vocab, "max_position_embeddings": 256, "rms_norm_eps": 1e-5,
            "rope_theta": 10_000.0,
            "tie_word_embeddings": tied, "attention_bias": false, "mlp_bias": false,
            "torch_dtype": match dtype {
            Dtype::F16 => "float16",
            Dtype::BF16 => "bfloat16",
            _ => "float32",
        },
        });
        Self {
            config,
            tokenizer: bytes_tokenizer(vocab),
            weights,
            dtype,
            shards: 1,
        }
    }

    /// Adds biases to all projections.
    #[must_use]
    pub fn with_biases(mut self, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let is_projection = |weight: &&Weight| weight.name.ends_with("_proj.weight");
        let bias = |weight: &Weight| Weight {
            name: weight.name.replace(".weight", ".bias"),
            shape: vec![weight.shape[0]],
            floats: (0..weight.shape[0])
                .map(|_| 0.1 * random.normal())
                .collect(),
        };
        let biases: Vec<Weight> = self
            .weights
            .iter()
            .filter(is_projection)
            .map(bias)
            .collect();
        self.weights.extend(biases);
        for key in ["attention_bias", "mlp_bias"] {
            self.config[key] = true.into();
        }
        self
    }

    /// Writes the folder's files; the folder must be there.
    ///
    /// # Errors
    /// A file can't be written, or the dtype is none of the three.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        fs::write(folder.join("config.json"), self.config.to_string())?;
        fs::write(folder.join("tokenizer.json"), self.tokenizer.to_string())?;
        let mut stored = Vec::new();
        for weight in &self.weights {
            stored.push((weight, self.bytes(weight)?));
        }
        let total: usize = stored.iter().map(|(_, bytes)| bytes.len()).sum();
        let mut map = serde_json::Map::new();
        for (number, part) in stored
            .chunks(stored.len().div_ceil(self.shards).max(1))
            .enumerate()
        {
            let name = match self.shards {
                1 => "model.safetensors".to_owned(),
                shards => format!("model-{:05}-of-{shards:05}.safetensors", number + 1),
            };
            let mut views = Vec::new();
            for (weight, bytes) in part {
                let view = TensorView::new(self.dtype, weight.shape.clone(), bytes)
                    .map_err(io::Error::other)?;
                views.push((weight.name.as_str(), view));
                map.insert(weight.name.clone(), name.clone().into());
            }
            fs::write(
                folder.join(&name),
                serialize(views, None).map_err(io::Error::other)?,
            )?;
        }
        if self.shards > 1 {
            let index = json!({"metadata": {"total_size": total}, "weight_map": map});
            fs::write(
                folder.join("model.safetensors.index.json"),
                index.to_string(),
            )?;
        }
        Ok(())
    }

    fn bytes(&self, weight: &Weight) -> io::Result<Vec<u8>> {
        let floats = weight.floats.iter();
        match self.dtype {
            Dtype::F32 => Ok(floats.flat_map(|x| x.to_le_bytes()).collect()),
            Dtype::F16 => Ok(floats
                .flat_map(|&x| f16::from_f32(x).to_le_bytes())
                .collect()),
            Dtype::BF16 => Ok(floats
                .flat_map(|&x| bf16::from_f32(x).to_le_bytes())
                .collect()),
            other => Err(io::Error::other(format!(
                "no weight is written as {other:?}"
            ))),
        }
    }
}

/// A byte-level tokenizer without merges: a token for each byte, then tokens that no text gives.
fn bytes_tokenizer(vocab: usize) -> Value {
    // GPT-2's letters for bytes: printable ones stand for themselves, the others follow from 256
    // on, in order.
    let printable = |byte: &usize| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let token = |id: usize| match id {
        256.. => format!("<{id}>"),
        byte if printable(&byte) => String::from(byte as u8 as char),
        byte => char::from_u32((256 + (0..byte).filter(|b| !printable(b)).count()) as u32)
            .map(String::from)
            .unwrap_or_default(),
    };
    let tokens: serde_json::Map<String, Value> =
        (0..vocab).map(|id| (token(id), id.into())).collect();
    json!({
        "version": "1.0", "added_tokens": [], "normalizer": null, "post_processor": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false,
                "trim_offsets": true, "use_regex": true},
        "decoder": {"type": "ByteLevel", "add_prefix_space": true,
                "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "vocab": tokens, "merges": []},
    })
}

#[cfg(test)]
mod tests {
    use godwit::tokenizer::{Special, Tokenizer};
    use safetensors::SafeTensors;

    use super::*;

    const SHAPE: Shape = Shape {
        layers: 2,
        heads: 2,
        kv_heads: 1,
        head_dim: 32,
        ffn: 96,
        vocab: 300,
        tied: false,
    };

    #[test]
    fn what_is_written_reads_back() {
        for (dtype, most) in [(Dtype::F32, 0.0), (Dtype::F16, 1e-3), (Dtype::BF16, 8e-3)] {
            for shards in [1, 3] {
                let mut model = Folder::llama(SHAPE, dtype, 1);
                model.shards = shards;
                let folder = tempfile::tempdir().expect("a folder");
                model.write(folder.path()).expect("it is written");
                let read = |name: &str| fs::read(folder.path().join(name)).expect("it is there");
                let index: Value = match shards {
                    1 => Value::Null,
                    _ => {
                        serde_json::from_slice(&read("model.safetensors.index.json")).expect("JSON")
                    }
                };
                for weight in &model.weights {
                    let file = index["weight_map"][&weight.name]
                        .as_str()
                        .unwrap_or("model.safetensors")
                        .to_owned();
                    let bytes = read(&file);
                    let tensors = SafeTensors::deserialize(&bytes).expect("it parses");
                    let view = tensors.tensor(&weight.name).expect("it is there");
                    assert_eq!((view.dtype(), view.shape()), (dtype, &weight.shape[..]));
                    let float = |bytes: &[u8]| match *bytes {
                        [a, b, c, d] => f32::from_le_bytes([a, b, c, d]),
                        [a, b] if dtype == Dtype::F16 => f16::from_le_bytes([a, b]).to_f32(),
                        [a, b] => bf16::from_le_bytes([a, b]).to_f32(),
                        _ => f32::NAN,
                    };
                    let floats = view
                        .data()
                        .chunks(if dtype == Dtype::F32 { 4 } else { 2 })
                        .map(float);
                    // The smallest f16 numbers are whole steps of 2^-24.
                    let least = if dtype == Dtype::F16 { 6e-8 } else { 0.0 };
                    let near = |(a, &b): (f32, &f32)| (a - b).abs() <= most * b.abs() + least;
                    assert!(floats.zip(&weight.floats).all(near), "{}", weight.name);
                }
            }
        }
    }

    #[test]
    fn its_tokenizer_spells_bytes() {
        let json = bytes_tokenizer(300).to_string();
        let tokenizer = Tokenizer::from_json(json.as_bytes(), None).expect("a tokenizer");
        let ids = tokenizer.encode("Ab \u{e9}\n", Special::Text).expect("ids");
        assert_eq!(
            ids,
            "Ab \u{e9}\n".bytes().map(u32::from).collect::<Vec<_>>()
        );
    }
}
