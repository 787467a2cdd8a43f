//! Hyperparameters: GGUF's `llama.*` keys of a checkpoint, each checked before anything is computed
//! from it.

use std::ops::RangeInclusive;

use godwit_shaders::WeightFormat;

use super::rope::{RopeOverride, RopeStretch};
use super::variations;
use crate::checkpoint::Checkpoint;
use crate::error::ConfigError;
use crate::gguf::{Metadata, Value};

/// The name of the tensor that holds one divisor per rotary frequency.
pub const ROPE_FACTORS: &str = "rope_freqs.weight";
const EMBEDDING: &str = "token_embd.weight";

const MAX_LAYERS: u32 = 1_024;
const MAX_WIDTH: u32 = 1 << 16;
const MAX_HEADS: u32 = 1_024;
const MAX_FFN: u32 = 1 << 20;
const MAX_VOCAB: u32 = 1 << 22;
pub(super) const MAX_CONTEXT: u32 = 1 << 27;
/// The head sizes that the attention kernels are made for.
pub(crate) const HEAD_DIMS: [u32; 5] = [32, 64, 80, 96, 128];

/// How a model's rotary frequencies differ from `theta^(-2i/dim)`.
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    /// They don't.
    None,
    /// All divided by one number.
    Linear {
        /// The divisor.
        factor: f64,
    },
    /// Each divided by its own number (`rope_freqs.weight`): how GGUF files store Llama 3.1's
    /// scaling.
    Factors(Vec<f64>),
    /// Llama 3.1: long waves are slowed, short ones kept, those between are blended.
    Llama3 {
        /// The divisor of the long waves.
        factor: f64,
        /// Waves that turn fewer times than this in the original window are long.
        low: f64,
        /// Waves that turn more often than this are short.
        high: f64,
        /// The window that the model was trained with first, in tokens.
        original: f64,
    },
    /// YaRN (Peng et al., 2023): as Llama 3's, but the blend is linear in the index of the
    /// frequency.
    Yarn {
        /// The divisor of the long waves.
        factor: f64,
        /// The window that the model was trained with first, in tokens.
        original: f64,
        /// Waves that turn more often than this in the original window are kept.
        beta_fast: f64,
        /// Waves that turn fewer times are slowed.
        beta_slow: f64,
        /// Multiplies the length of the rotated vectors, on top of YaRN's own factor.
        attn_factor: f64,
    },
}

/// The hyperparameters of a Llama model.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Transformer blocks.
    pub layers: u32,
    /// The length of the vector that goes through the blocks.
    pub width: u32,
    /// Query heads.
    pub heads: u32,
    /// Key and value heads; `heads` is a multiple of it.
    pub kv_heads: u32,
    /// The length of a head's vectors.
    pub head_dim: u32,
    /// How many numbers of each head are rotated; even.
    pub rotary_dim: u32,
    /// The inner length of the feed-forward network.
    pub ffn: u32,
    /// Tokens in the vocabulary.
    pub vocab: u32,
    /// The window that the model was trained for, in tokens.
    pub context: u32,
    /// RMSNorm's epsilon.
    pub eps: f32,
    /// The base of the rotary frequencies.
    pub theta: f64,
    /// How the frequencies are scaled.
    pub scaling: RopeScaling,
}

impl Config {
    /// Reads and checks the hyperparameters. Of the weights, only `rope_freqs.weight` is read.
    ///
    /// # Errors
    /// Names the key that is missing, out of range, not supported, or in contradiction with another
    /// or with a tensor.
    pub fn read(checkpoint: &dyn Checkpoint) -> Result<Config, ConfigError> {
        Self::read_with(checkpoint, &RopeOverride::default())
    }

    /// [`Config::read`], with another rotary embedding than the file's. What `rope` replaces is not
    /// read.
    ///
    /// # Errors
    /// As [`Config::read`]; or a number of `rope` is out of range.
    pub fn read_with(
        checkpoint: &dyn Checkpoint,
        rope: &RopeOverride,
    ) -> Result<Config, ConfigError> {
        variations::kind(checkpoint)?;
        match variations::of_metadata(checkpoint.metadata())
            .into_iter()
            .next()
        {
            Some(error) => Err(error),
            None => Self::numbers(checkpoint, rope),
        }
    }

    /// The hyperparameters of a Llama model, whatever varies its forward pass.
    pub(super) fn numbers(
        checkpoint: &dyn Checkpoint,
        rope: &RopeOverride,
    ) -> Result<Config, ConfigError> {
        let keys = Keys {
            meta: checkpoint.metadata(),
        };
        let width = keys.count("embedding_length", MAX_WIDTH, None)?;
        let heads = keys.count("attention.head_count", MAX_HEADS, None)?;
        let kv_heads = keys.count("attention.head_count_kv", MAX_HEADS, Some(heads))?;
        if !heads.is_multiple_of(kv_heads) {
            return Err(keys.contradiction(format!(
                "{heads} query heads can't share {kv_heads} key and value heads"
            )));
        }
        let head_dim = keys.head_dim(width, heads)?;
        let rotary_dim = keys.count("rope.dimension_count", head_dim, Some(head_dim))?;
        if !rotary_dim.is_multiple_of(2) {
            return Err(keys.range("rope.dimension_count", rotary_dim, "even"));
        }
        let context = keys.count("context_length", MAX_CONTEXT, None);
        let scaling = match rope.stretch {
            None => keys.scaling(checkpoint, rotary_dim, &context)?,
            Some(_) => RopeScaling::None,
        };
        let needs_context = matches!(
            rope.stretch,
            Some(RopeStretch::Llama3(_) | RopeStretch::Yarn(_))
        );
        let context = match rope.window {
            Some(window) if !needs_context => context.unwrap_or(window),
            _ => context?,
        };
        let theta = match rope.theta {
            None => keys.float("rope.freq_base", 2.0..=1e15, Some(10_000.0))?,
            Some(theta) => theta,
        };
        let config = Config {
            layers: keys.count("block_count", MAX_LAYERS, None)?,
            width,
            heads,
            kv_heads,
            head_dim,
            rotary_dim,
            ffn: keys.count("feed_forward_length", MAX_FFN, None)?,
            vocab: keys.vocab(checkpoint, width)?,
            context,
            eps: keys.float("attention.layer_norm_rms_epsilon", 1e-12..=0.1, None)? as f32,
            theta,
            scaling,
        };
        keys.within_sliding_window(config.with_rope(rope)?, rope)
    }
}

/// The keys of the `llama` architecture.
struct Keys<'a> {
    meta: &'a Metadata,
}

impl Keys<'_> {
    fn file(&self) -> String {
        self.meta.file().into()
    }

    fn name(key: &str) -> String {
        format!("llama.{key}")
    }

    /// The file's name of the key.
    fn shown(&self, key: &str) -> String {
        self.meta.origin(&Self::name(key)).to_owned()
    }

    fn range(&self, key: &str, value: impl ToString, must: impl Into<String>) -> ConfigError {
        ConfigError::Range {
            file: self.file(),
            key: self.shown(key),
            value: value.to_string(),
            must: must.into(),
        }
    }

    fn contradiction(&self, detail: String) -> ConfigError {
        ConfigError::Contradiction {
            file: self.file(),
            detail,
        }
    }

    /// An integer from 1 to `most`.
    fn count(&self, key: &str, most: u32, default: Option<u32>) -> Result<u32, ConfigError> {
        let name = Self::name(key);
        let value = self.meta.uniform(&name)?.or(default.map(u64::from));
        let Some(value) = value else {
            return Err(ConfigError::Missing {
                file: self.file(),
                key: self.shown(key),
            });
        };
        match u32::try_from(value) {
            Ok(value) if (1..=most).contains(&value) => Ok(value),
            _ => Err(self.range(key, value, format!("from 1 to {most}"))),
        }
    }

    /// A finite number in a range.
    fn float(
        &self,
        key: &str,
        range: RangeInclusive<f64>,
        default: Option<f64>,
    ) -> Result<f64, ConfigError> {
        let name = Self::name(key);
        match self.meta.f64(&name)?.or(default) {
            // NaN is in no range.
            Some(value) if range.contains(&value) => Ok(value),
            Some(value) => Err(self.range(
                key,
                value,
                format!("from {} to {}", range.start(), range.end()),
            )),
            None => Err(ConfigError::Missing {
                file: self.file(),
                key: self.shown(key),
            }),
        }
    }

    /// The same hyperparameters, the window no longer than what attention sees at a time, where
    /// that is less than all: up to there a sliding window changes nothing.
    fn within_sliding_window(
        &self,
        mut config: Config,
        rope: &RopeOverride,
    ) -> Result<Config, ConfigError> {
        let key = "attention.sliding_window";
        let Some(limit) = self
            .meta
            .uniform(&Self::name(key))?
            .filter(|&limit| limit > 0)
        else {
            return Ok(config);
        };
        if u64::from(config.context) <= limit {
            return Ok(config);
        }
        if rope.window.is_some() || rope.stretch.is_some() {
            let known = format!("contexts within it (a window of {limit} tokens at most)");
            let (file, key, value) = (self.file(), self.shown(key), limit.to_string());
            return Err(ConfigError::Unsupported {
                file,
                key,
                value,
                known,
            });
        }
        config.context = limit as u32;
        Ok(config)
    }

    fn head_dim(&self, width: u32, heads: u32) -> Result<u32, ConfigError> {
        let key = "attention.key_length";
        let head_dim = match self.meta.u32(&Self::name(key))? {
            Some(given) => given,
            None if width.is_multiple_of(heads) => width / heads,
            None => {
                return Err(self.contradiction(format!(
                    "a width of {width} can't be shared by {heads} heads"
                )));
            }
        };
        if !HEAD_DIMS.contains(&head_dim) {
            let known = HEAD_DIMS.map(|dim| dim.to_string()).join(", ");
            let (key, value) = (
                format!("head size ({})", self.shown(key)),
                head_dim.to_string(),
            );
            return Err(ConfigError::Unsupported {
                file: self.file(),
                key,
                value,
                known,
            });
        }
        match self.meta.u32(&Self::name("attention.value_length"))? {
            Some(value) if value != head_dim => Err(self.range(
                "attention.value_length",
                value,
                format!("the head size, {head_dim}"),
            )),
            _ => Ok(head_dim),
        }
    }

    /// The size of the vocabulary: the embedding's, or what the metadata says where there is none.
    fn vocab(&self, checkpoint: &dyn Checkpoint, width: u32) -> Result<u32, ConfigError> {
        let key = "vocab_size";
        // The tokenizer checks what they are.
        let tokens = match self.meta.get("tokenizer.ggml.tokens") {
            Some(Value::Array(tokens)) => Some(tokens.len() as u64),
            _ => None,
        };
        let given = self.meta.u64(&Self::name(key))?;
        let mut vocab = given.or(tokens);
        if let Some(embedding) = checkpoint.tensor(EMBEDDING) {
            let embedding_name = checkpoint.own_name(EMBEDDING);
            let [row, rows] = embedding.shape[..] else {
                return Err(self.contradiction(format!(
                    "`{embedding_name}` has the shape {:?}",
                    embedding.shape
                )));
            };
            if row != u64::from(width) {
                let detail = format!(
                    "`{embedding_name}` has rows of {row}, but `{}` is {width}",
                    self.shown("embedding_length")
                );
                return Err(self.contradiction(detail));
            }
            // Where the tokens are listed, their number is what counts: so llama.cpp has it.
            if let Some(given) = given.filter(|&given| given != rows && tokens.is_none()) {
                let detail = format!(
                    "`{embedding_name}` has {rows} rows, but `{}` is {given}",
                    self.shown(key)
                );
                return Err(self.contradiction(detail));
            }
            vocab = Some(rows);
        }
        let Some(vocab) = vocab else {
            return Err(ConfigError::Missing {
                file: self.file(),
                key: self.shown(key),
            });
        };
        match u32::try_from(vocab) {
            Ok(vocab) if (1..=MAX_VOCAB).contains(&vocab) => Ok(vocab),
            _ => Err(self.range(key, vocab, format!("from 1 to {MAX_VOCAB}"))),
        }
    }

    fn scaling(
        &self,
        checkpoint: &dyn Checkpoint,
        rotary_dim: u32,
        context: &Result<u32, ConfigError>,
    ) -> Result<RopeScaling, ConfigError> {
        const FACTOR: RangeInclusive<f64> = 1e-3..=1e6;
        let key = "rope.scaling.type";
        let linear = self.meta.f64(&Self::name("rope.scale_linear"))?;
        // A factor without a type is linear: so llama.cpp has it.
        let given = self
            .meta
            .f64(&Self::name("rope.scaling.factor"))?
            .filter(|&factor| factor != 0.0);
        let default = if linear.or(given).is_some() {
            "linear"
        } else {
            "none"
        };
        let kind = self.meta.string(&Self::name(key))?.unwrap_or(default);
        let factor = |default| self.float("rope.scaling.factor", FACTOR, default);
        let original = || {
            let key = "rope.scaling.original_context_length";
            match self.meta.uniform(&Self::name(key))? {
                Some(_) => self.count(key, MAX_CONTEXT, None).map(f64::from),
                None => context.clone().map(f64::from),
            }
        };
        let linear = match linear {
            Some(_) => Some(self.float("rope.scale_linear", FACTOR, None)?),
            None => None,
        };
        let scaling = match kind {
            "none" => RopeScaling::None,
            "linear" => RopeScaling::Linear {
                factor: factor(linear)?,
            },
            "llama3" => {
                let low = self.float("rope.scaling.low_freq_factor", FACTOR, Some(1.0))?;
                let high = self.float("rope.scaling.high_freq_factor", FACTOR, Some(4.0))?;
                if low >= high {
                    return Err(self.range(
                        "rope.scaling.low_freq_factor",
                        low,
                        format!("below {high}"),
                    ));
                }
                RopeScaling::Llama3 {
                    factor: factor(None)?,
                    low,
                    high,
                    original: original()?,
                }
            }
            "yarn" => RopeScaling::Yarn {
                factor: factor(None)?,
                original: original()?,
                beta_fast: self.float("rope.scaling.yarn_beta_fast", FACTOR, Some(32.0))?,
                beta_slow: self.float("rope.scaling.yarn_beta_slow", FACTOR, Some(1.0))?,
                attn_factor: self.float("rope.scaling.attn_factor", FACTOR, Some(1.0))?,
            },
            other => {
                let (key, value) = (self.shown(key), format!("`{}`", other.escape_debug()));
                let known = "none, linear, llama3, yarn".into();
                return Err(ConfigError::Unsupported {
                    file: self.file(),
                    key,
                    value,
                    known,
                });
            }
        };
        if !matches!(scaling, RopeScaling::Yarn { .. }) {
            let key = "rope.scaling.attn_factor";
            if let Some(factor) = self
                .meta
                .f64(&Self::name(key))?
                .filter(|&factor| factor != 0.0 && factor != 1.0)
            {
                let (file, key, known) = (
                    self.file(),
                    self.shown(key),
                    format!("1 with {kind} scaling"),
                );
                return Err(ConfigError::Unsupported {
                    file,
                    key,
                    value: factor.to_string(),
                    known,
                });
            }
        }
        let Some(factors) = self.factors(checkpoint, rotary_dim)? else {
            return Ok(scaling);
        };
        match scaling {
            // The tensor is Llama 3's scaling, already worked out.
            RopeScaling::None | RopeScaling::Llama3 { .. } => Ok(RopeScaling::Factors(factors)),
            RopeScaling::Linear { factor } => Ok(RopeScaling::Factors(
                factors.into_iter().map(|own| own * factor).collect(),
            )),
            RopeScaling::Yarn { .. } | RopeScaling::Factors(_) => {
                let (key, value) = (ROPE_FACTORS.into(), format!("there beside {kind} scaling"));
                Err(ConfigError::Unsupported {
                    file: self.file(),
                    key,
                    value,
                    known: "none, linear, llama3".into(),
                })
            }
        }
    }

    /// The divisors in `rope_freqs.weight`, if the tensor is there.
    fn factors(
        &self,
        checkpoint: &dyn Checkpoint,
        rotary_dim: u32,
    ) -> Result<Option<Vec<f64>>, ConfigError> {
        let Some(tensor) = checkpoint.tensor(ROPE_FACTORS) else {
            return Ok(None);
        };
        let wanted = u64::from(rotary_dim / 2);
        if tensor.shape[..] != [wanted] || tensor.format != WeightFormat::F32 {
            let detail = format!(
                "`{ROPE_FACTORS}` is {} {:?}, but must be {} [{wanted}]",
                tensor.format,
                tensor.shape,
                WeightFormat::F32
            );
            return Err(self.contradiction(detail));
        }
        let bytes = checkpoint.data(tensor, 0..tensor.bytes)?;
        let factors: Vec<f64> = bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|&bytes| f64::from(f32::from_le_bytes(bytes)))
            .collect();
        match factors
            .iter()
            .find(|factor| !(1e-6..=1e6).contains(*factor))
        {
            Some(bad) => Err(ConfigError::Range {
                file: self.file(),
                key: ROPE_FACTORS.into(),
                value: bad.to_string(),
                must: "from 1e-6 to 1e6".into(),
            }),
            None => Ok(Some(factors)),
        }
    }
}
