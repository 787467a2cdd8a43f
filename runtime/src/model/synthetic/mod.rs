//! Models without a file: the shape of a real one, weights of noise. What they answer is noise too,
//! but they take the memory and the time of the real ones.

#[cfg(test)]
mod tests;

use std::str::FromStr;

use godwit_shaders::WeightFormat;
use godwit_shaders::random::Random;

use super::{Config, Model, RopeScaling, tokens};
use crate::error::Error;
use crate::gguf::{Array, GgufWriter, Tensor, Value};
use crate::io::{Identity, Source, SourceCause, SourceError};
use crate::tokenizer::bytes::letter;

/// The shape of a synthetic model.
#[derive(Clone, Debug, PartialEq)]
pub struct Synthetic {
    name: String,
    format: WeightFormat,
    config: Config,
    /// Whether the embedding is the output head too.
    tied: bool,
}

/// A text that names no synthetic model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` names no synthetic model: {cause}; write SHAPE[:FORMAT][,KEY=N…], such as \
    llama3-8b:q4_k,layers=4; shapes: {}; keys: \
    {}", SHAPES.map(|(name, _)| name).join(", "), KEYS.join(", "))]
pub struct BadSynthetic {
    text: String,
    cause: String,
}

const KEYS: [&str; 9] = [
    "layers", "width", "heads", "kv_heads", "head_dim", "ffn", "vocab", "context", "tied",
];

/// Known shapes: the numbers of [`KEYS`].
const SHAPES: [(&str, [u32; 9]); 5] = [
    (
        "llama3-8b",
        [32, 4096, 32, 8, 128, 14_336, 128_256, 1 << 20, 0],
    ),
    (
        "llama3.2-3b",
        [28, 3072, 24, 8, 128, 8192, 128_256, 1 << 17, 1],
    ),
    (
        "llama3.2-1b",
        [16, 2048, 32, 8, 64, 8192, 128_256, 1 << 17, 1],
    ),
    ("smollm2-135m", [30, 576, 9, 3, 64, 1536, 49_152, 8192, 1]),
    ("tiny", [2, 256, 4, 2, 64, 512, 1024, 1 << 20, 1]),
];

impl FromStr for Synthetic {
    type Err = BadSynthetic;

    fn from_str(text: &str) -> Result<Self, BadSynthetic> {
        let bad = |cause: String| BadSynthetic {
            text: text.into(),
            cause,
        };
        let mut parts = text.split(',');
        let head = parts.next().unwrap_or_default();
        let (shape, format) = head.split_once(':').unwrap_or((head, "q4_k"));
        let known = SHAPES
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(shape));
        let Some((_, mut numbers)) = known.copied() else {
            return Err(bad(format!("no shape is called `{shape}`")));
        };
        let format = WeightFormat::from_name(format)
            .ok_or_else(|| bad("its format is none of GGUF's that Godwit reads".into()))?;
        for part in parts {
            let (key, value) = part
                .split_once('=')
                .ok_or_else(|| bad(format!("`{part}` is not KEY=N")))?;
            let at = KEYS
                .iter()
                .position(|&known| known == key)
                .ok_or_else(|| bad(format!("no key is `{key}`")))?;
            numbers[at] = tokens(value).ok_or_else(|| bad(format!("`{value}` is no number")))?;
        }
        let [
            layers,
            width,
            heads,
            kv_heads,
            head_dim,
            ffn,
            vocab,
            context,
            tied,
        ] = numbers;
        let block = format.block_len() as u32;
        for (what, n) in [
            ("width", width),
            ("ffn", ffn),
            ("heads × head_dim", heads.saturating_mul(head_dim)),
        ] {
            if n == 0 || !n.is_multiple_of(block.max(32)) {
                return Err(bad(format!(
                    "{what} must be a multiple of {}",
                    block.max(32)
                )));
            }
        }
        // Sizes stay countable; what else is wrong, the loader says.
        if [layers, width, ffn, vocab].iter().any(|&n| n > 1 << 22)
            || layers > 1024
            || heads > 1024
            || kv_heads > 1024
        {
            return Err(bad("that is too large".into()));
        }
        let (theta, scaling, eps, rotary_dim) =
            (3_580_165_449.0, RopeScaling::None, 1e-5, head_dim);
        let config = Config {
            layers,
            width,
            heads,
            kv_heads,
            head_dim,
            rotary_dim,
            ffn,
            vocab,
            context,
            eps,
            theta,
            scaling,
        };
        Ok(Self {
            name: text.into(),
            format,
            config,
            tied: tied != 0,
        })
    }
}

impl Synthetic {
    /// The model, ready to be loaded. Its weights are made as they are read.
    ///
    /// # Errors
    /// The shape is not one that Godwit runs.
    pub fn model(&self) -> Result<Model, Error> {
        Model::from_sources(vec![Box::new(Noise::new(self))])
    }

    /// The format of its matrices.
    pub fn format(&self) -> WeightFormat {
        self.format
    }

    fn writer(&self) -> GgufWriter {
        let name = format!("synthetic {}", self.name);
        let mut writer =
            GgufWriter::llama(name, &self.config, self.tokens(), self.format, self.tied);
        let template = "{% for m in messages %}{{ m.content }}\n{% endfor %}";
        writer.key("tokenizer.chat_template", Value::String(template.into()));
        writer
    }

    /// A token for each byte, then tokens with numbers.
    fn tokens(&self) -> Vec<String> {
        let token = |id: u32| match u8::try_from(id) {
            Ok(byte) => letter(byte).to_string(),
            Err(_) => format!("<{id}>"),
        };
        (0..self.config.vocab).map(token).collect()
    }
}

impl GgufWriter {
    /// A Llama model's keys and tensors: every matrix in `format`, every norm in floats; `tokens`
    /// is a byte-level vocabulary without merges. A tied model has no output head of its own.
    /// Rotary scaling is not written.
    pub fn llama(
        name: impl Into<String>,
        config: &Config,
        tokens: Vec<String>,
        format: WeightFormat,
        tied: bool,
    ) -> Self {
        let mut writer = Self::default();
        for (key, value) in [
            ("general.architecture", Value::String("llama".into())),
            ("general.name", Value::String(name.into())),
            ("llama.block_count", Value::U32(config.layers)),
            ("llama.embedding_length", Value::U32(config.width)),
            ("llama.feed_forward_length", Value::U32(config.ffn)),
            ("llama.attention.head_count", Value::U32(config.heads)),
            ("llama.attention.head_count_kv", Value::U32(config.kv_heads)),
            ("llama.attention.key_length", Value::U32(config.head_dim)),
            ("llama.attention.value_length", Value::U32(config.head_dim)),
            (
                "llama.attention.layer_norm_rms_epsilon",
                Value::F32(config.eps),
            ),
            ("llama.context_length", Value::U32(config.context)),
            ("llama.rope.dimension_count", Value::U32(config.rotary_dim)),
            ("llama.rope.freq_base", Value::F64(config.theta)),
            ("tokenizer.ggml.model", Value::String("gpt2".into())),
            ("tokenizer.ggml.pre", Value::String("llama-bpe".into())),
            ("tokenizer.ggml.tokens", Value::Array(Array::String(tokens))),
            (
                "tokenizer.ggml.merges",
                Value::Array(Array::String(Vec::new())),
            ),
        ] {
            writer.key(key, value);
        }
        let [width, ffn, vocab] = [config.width, config.ffn, config.vocab].map(u64::from);
        let [queries, keys] =
            [config.heads, config.kv_heads].map(|heads| u64::from(heads * config.head_dim));
        writer.tensor("token_embd.weight", format, &[width, vocab]);
        for layer in 0..config.layers {
            let mut tensor = |part: &str, format, shape: &[u64]| {
                writer.tensor(format!("blk.{layer}.{part}.weight"), format, shape);
            };
            tensor("attn_norm", WeightFormat::F32, &[width]);
            tensor("attn_q", format, &[width, queries]);
            tensor("attn_k", format, &[width, keys]);
            tensor("attn_v", format, &[width, keys]);
            tensor("attn_output", format, &[queries, width]);
            tensor("ffn_norm", WeightFormat::F32, &[width]);
            tensor("ffn_gate", format, &[width, ffn]);
            tensor("ffn_up", format, &[width, ffn]);
            tensor("ffn_down", format, &[ffn, width]);
        }
        writer.tensor("output_norm.weight", WeightFormat::F32, &[width]);
        if !tied {
            writer.tensor("output.weight", format, &[width, vocab]);
        }
        writer
    }
}

/// Blocks of noise before it repeats: a prime number, so that no two rows of a matrix begin alike.
const BLOCKS: usize = 4093;

/// A GGUF file that exists only where it is read: every matrix is the same noise, every norm is 1.
struct Noise {
    name: String,
    header: Vec<u8>,
    /// Offsets count from the end of the header.
    tensors: Vec<Tensor>,
    bytes: u64,
    noise: Vec<u8>,
}

impl Noise {
    fn new(shape: &Synthetic) -> Self {
        let writer = shape.writer();
        let header = writer.header();
        let bytes = header.len() as u64 + writer.data_bytes();
        let noise = shape.format.random_blocks(&mut Random::new(1), BLOCKS);
        Self {
            name: format!("synthetic {}", shape.name),
            header,
            tensors: writer.tensors().to_vec(),
            bytes,
            noise,
        }
    }

    /// Fills with what lies at `offset` behind the header.
    fn data(&self, mut offset: u64, mut into: &mut [u8]) {
        let one = 1.0_f32.to_le_bytes();
        while !into.is_empty() {
            let at = self
                .tensors
                .partition_point(|tensor| tensor.offset <= offset)
                .saturating_sub(1);
            let tensor = &self.tensors[at];
            let next = self
                .tensors
                .get(at + 1)
                .map_or(u64::MAX, |next| next.offset);
            let count = usize::try_from(next - offset)
                .unwrap_or(usize::MAX)
                .min(into.len());
            let (part, rest) = into.split_at_mut(count);
            let pattern: &[u8] = if tensor.shape.len() == 1 {
                &one
            } else {
                &self.noise
            };
            let begin = (offset - tensor.offset) as usize % pattern.len();
            let (first, repeats) = part.split_at_mut((pattern.len() - begin).min(count));
            first.copy_from_slice(&pattern[begin..][..first.len()]);
            for chunk in repeats.chunks_mut(pattern.len()) {
                chunk.copy_from_slice(&pattern[..chunk.len()]);
            }
            offset += count as u64;
            into = rest;
        }
    }
}

impl Source for Noise {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.bytes
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), SourceError> {
        let (needed, remaining) = (into.len() as u64, self.bytes.saturating_sub(offset));
        if needed > remaining {
            return Err(
                SourceError::new(&self.name, SourceCause::Truncated { needed, remaining })
                    .at(offset),
            );
        }
        let header = self.header.get(offset as usize..).unwrap_or_default();
        let (head, data) = into.split_at_mut(header.len().min(into.len()));
        head.copy_from_slice(&header[..head.len()]);
        if !data.is_empty() {
            self.data(
                (offset + head.len() as u64).saturating_sub(self.header.len() as u64),
                data,
            );
        }
        Ok(())
    }

    fn identity(&self) -> Option<Identity> {
        // Header and noise decide every byte; the version, how.
        let mut hash = blake3::Hasher::new();
        hash.update(&self.header).update(&self.noise);
        let state = format!(
            "{} by godwit {}",
            hash.finalize().to_hex(),
            env!("CARGO_PKG_VERSION")
        );
        Some(Identity {
            name: self.name.clone(),
            state,
        })
    }
}
