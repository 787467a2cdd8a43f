//! Hyperparameters: GGUF's `llama.*` keys of a checkpoint, each checked before anything is computed
//! from it.

mod keys;
mod scaling;

use super::rope::{RopeOverride, RopeStretch};
use super::variations;
use crate::checkpoint::Checkpoint;
use crate::error::ConfigError;
use keys::Keys;

/// The name of the tensor that holds one divisor per rotary frequency.
pub const ROPE_FACTORS: &str = "rope_freqs.weight";
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
#[non_exhaustive]
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
