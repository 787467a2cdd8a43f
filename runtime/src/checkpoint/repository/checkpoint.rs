//! A repository as a checkpoint.

use std::borrow::Cow;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::Repository;
use super::files::CONFIG;
use super::names::{EMBEDDING, hugging_face_name};
use crate::checkpoint::safetensors;
use crate::checkpoint::{Checkpoint, Place, UnknownKey};
use crate::error::{ConfigError, Error};
use crate::gguf::{FormatError, Metadata, Tensor};
use crate::io::Identity;
use crate::tokenizer::{Beside, Tokenizer, TokenizerError};

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
