//! The keys of the `llama` architecture, each read as a number in its range.

use std::ops::RangeInclusive;

use super::{Config, HEAD_DIMS, MAX_VOCAB};
use crate::checkpoint::Checkpoint;
use crate::error::ConfigError;
use crate::gguf::{Metadata, Value};
use crate::model::rope::RopeOverride;

const EMBEDDING: &str = "token_embd.weight";

/// The keys of the `llama` architecture.
pub(super) struct Keys<'a> {
    pub(super) meta: &'a Metadata,
}

impl Keys<'_> {
    pub(super) fn file(&self) -> String {
        self.meta.file().into()
    }

    pub(super) fn name(key: &str) -> String {
        format!("llama.{key}")
    }

    /// The file's name of the key.
    pub(super) fn shown(&self, key: &str) -> String {
        self.meta.origin(&Self::name(key)).to_owned()
    }

    pub(super) fn range(
        &self,
        key: &str,
        value: impl ToString,
        must: impl Into<String>,
    ) -> ConfigError {
        ConfigError::Range {
            file: self.file(),
            key: self.shown(key),
            value: value.to_string(),
            must: must.into(),
        }
    }

    pub(super) fn contradiction(&self, detail: String) -> ConfigError {
        ConfigError::Contradiction {
            file: self.file(),
            detail,
        }
    }

    /// An integer from 1 to `most`.
    pub(super) fn count(
        &self,
        key: &str,
        most: u32,
        default: Option<u32>,
    ) -> Result<u32, ConfigError> {
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
    pub(super) fn float(
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
    pub(super) fn within_sliding_window(
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

    pub(super) fn head_dim(&self, width: u32, heads: u32) -> Result<u32, ConfigError> {
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
    pub(super) fn vocab(
        &self,
        checkpoint: &dyn Checkpoint,
        width: u32,
    ) -> Result<u32, ConfigError> {
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
}
