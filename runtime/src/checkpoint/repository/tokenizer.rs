//! The files of a repository's tokenizer, and what only they say.

use super::Repository;
use super::files::{SENTENCEPIECE, TOKENIZER, TOKENIZER_CONFIG};
use crate::chat::TOKENS;
use crate::checkpoint::Checkpoint as _;
use crate::checkpoint::json_file::JsonFile;
use crate::error::Error;
use crate::gguf::{FormatCause, FormatError, Value};
use crate::io::SourceCause;

impl Repository {
    /// Adds what only the tokenizer knows to the metadata: what templates call `eos_token`.
    pub(super) fn describe(&mut self) -> Result<(), Error> {
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
    pub(super) fn tokenizer_files(&self) -> Result<(&[u8], Option<&[u8]>), FormatError> {
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
