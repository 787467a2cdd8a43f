//! The files of a repository: their names, and the bytes of the small ones.

use crate::gguf::{FormatCause, FormatError};
use crate::io::Source;

pub(super) const CONFIG: &str = "config.json";
pub(super) const GENERATION: &str = "generation_config.json";
pub(super) const TOKENIZER: &str = "tokenizer.json";
/// SentencePiece's file, which Godwit does not read.
pub(super) const SENTENCEPIECE: &str = "tokenizer.model";
pub(super) const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
pub(super) const CHAT_TEMPLATE: &str = "chat_template.jinja";
/// Where older versions of transformers put templates.
pub(super) const CHAT_TEMPLATE_JSON: &str = "chat_template.json";
/// Where older GPTQ tools say how they have quantised.
pub(super) const QUANTIZE_CONFIG: &str = "quantize_config.json";
pub(super) const WEIGHTS: &str = "model.safetensors";
pub(super) const INDEX: &str = "model.safetensors.index.json";

/// The largest `tokenizer.json`, in bytes: real ones are below 40 MB.
const MOST_TOKENIZER: u64 = 128 << 20;
/// The largest of the other small files, in bytes: an index of 100,000 tensors takes 10 MB.
const MOST_SMALL: u64 = 32 << 20;

/// Whether a file of this name may be part of a repository.
pub(crate) fn is_part(name: &str) -> bool {
    let small = [
        CONFIG,
        GENERATION,
        TOKENIZER,
        SENTENCEPIECE,
        TOKENIZER_CONFIG,
        CHAT_TEMPLATE,
        CHAT_TEMPLATE_JSON,
        INDEX,
        QUANTIZE_CONFIG,
    ];
    small.contains(&name) || name.ends_with(".safetensors")
}
/// All bytes of a small file.
pub(super) fn all(file: &dyn Source) -> Result<Vec<u8>, FormatError> {
    let is_tokenizer = file.name().rsplit(['/', '\\']).next() == Some(TOKENIZER);
    let most = if is_tokenizer {
        MOST_TOKENIZER
    } else {
        MOST_SMALL
    };
    if file.len() > most {
        let cause = FormatCause::TooMuch {
            what: "its length",
            count: file.len(),
            most,
        };
        return Err(FormatError::file(file.name(), cause));
    }
    let mut bytes = vec![0; file.len() as usize];
    file.read(0, &mut bytes)?;
    // Editors on Windows put a byte order mark before the text.
    if bytes.starts_with(b"\xef\xbb\xbf") {
        bytes.drain(..3);
    }
    Ok(bytes)
}
