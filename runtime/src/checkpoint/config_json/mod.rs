//! `config.json`, `generation_config.json` and `tokenizer_config.json` of a Hugging Face
//! repository, in GGUF's keys.

mod generation;
mod packing;
mod rope;
mod variations;

use serde_json::Value as Json;

use super::json_file::JsonFile;
use super::neutral::Neutral;
use super::packed::Packing;
use crate::chat::TEMPLATE;
use crate::error::ConfigError;
use crate::gguf::{FormatCause, FormatError, Metadata, Value};
use packing::packing;
pub(super) use rope::STRETCHES;

/// The names of GGUF's counts in `config.json`.
pub(super) const COUNTS: [(&str, &str); 8] = [
    ("num_hidden_layers", "llama.block_count"),
    ("hidden_size", "llama.embedding_length"),
    ("intermediate_size", "llama.feed_forward_length"),
    ("num_attention_heads", "llama.attention.head_count"),
    ("num_key_value_heads", "llama.attention.head_count_kv"),
    ("head_dim", "llama.attention.key_length"),
    ("vocab_size", "llama.vocab_size"),
    ("max_position_embeddings", "llama.context_length"),
];

const EPSILON: &str = "llama.attention.layer_norm_rms_epsilon";

/// The settings in a repository's configuration files.
pub(super) struct Settings {
    pub metadata: Metadata,
    /// Whether the embedding is the output head too.
    pub tied: bool,
    /// How matrices are quantised in the files, if they are.
    pub packing: Option<Packing>,
    /// Features that no code computes.
    pub obstacles: Vec<ConfigError>,
    /// Keys of `config.json` that are not known, with those of the objects that they are in.
    pub unknown: Vec<String>,
    /// Contradictions in the files, and how each was resolved.
    pub notes: Vec<String>,
}

impl Settings {
    /// Reads `config.json`. Values that can't be used are errors for those who ask for them.
    pub(super) fn read(config: &JsonFile) -> Result<Self, ConfigError> {
        let mut all = Self {
            metadata: Metadata::new(config.name.as_str()),
            tied: config.bool("tie_word_embeddings")?.unwrap_or(false),
            packing: None,
            obstacles: Vec::new(),
            unknown: Vec::new(),
            notes: Vec::new(),
        };
        all.metadata
            .insert("general.architecture".into(), Value::String("llama".into()));
        match config.string("model_type")?.as_deref() {
            Some("llama") => {}
            Some(other) => {
                let found = other.escape_debug().to_string();
                all.obstacles.push(ConfigError::Architecture {
                    file: config.name.clone(),
                    found,
                });
            }
            None => {
                return Err(ConfigError::Missing {
                    file: config.name.clone(),
                    key: "model_type".into(),
                });
            }
        }
        all.refuse_variations(config);
        match packing(config) {
            Ok(packing) => all.packing = packing,
            Err(error) => all.obstacles.push(error),
        }
        for (key, ours) in COUNTS {
            all.take(
                ours,
                config,
                key,
                config.u64(key).map(|value| value.map(Value::U64)),
            );
        }
        all.take(
            EPSILON,
            config,
            "rms_norm_eps",
            config
                .f64("rms_norm_eps")
                .map(|value| value.map(Value::F64)),
        );
        if config.bool("use_sliding_window").ok().flatten() != Some(false) {
            let key = "sliding_window";
            all.take(
                "llama.attention.sliding_window",
                config,
                key,
                config.u64(key).map(|value| value.map(Value::U64)),
            );
        }
        all.rope(config);
        Ok(all)
    }

    /// Takes the value of one of a file's keys, or keeps the error for the time that it is needed.
    fn take(
        &mut self,
        ours: &str,
        file: &JsonFile,
        theirs: &str,
        value: Result<Option<Value>, FormatError>,
    ) {
        self.metadata.set_origin(ours, &file.name, theirs);
        match value {
            // The first of two stays.
            Ok(Some(value)) => _ = self.metadata.insert(ours.into(), value),
            Ok(None) => {}
            Err(error) => self.metadata.set_unusable(ours, error),
        }
    }

    fn insert(&mut self, ours: &str, file: &JsonFile, theirs: &str, value: Value) {
        self.take(ours, file, theirs, Ok(Some(value)));
    }
    /// The chat template of a `tokenizer_config.json` or a `chat_template.json`: one, or the one
    /// called `default` of several.
    pub(super) fn chat_template(&mut self, file: &JsonFile) {
        const KEY: &str = "chat_template";
        let of_list = |list: &[Json]| {
            let named = list.iter().find(|entry| entry["name"] == "default");
            named
                .and_then(|entry| entry["template"].as_str())
                .map(str::to_owned)
        };
        let template = match file.root.get(KEY) {
            Some(Json::Array(list)) => of_list(list).map(Some).ok_or_else(|| {
                let names: Vec<&str> = list
                    .iter()
                    .filter_map(|entry| entry["name"].as_str())
                    .collect();
                let names = names.join(", ").escape_debug().to_string();
                FormatError::key(
                    file.name.as_str(),
                    KEY,
                    FormatCause::NoDefaultTemplate { names },
                )
            }),
            _ => file.string(KEY),
        };
        self.take(
            TEMPLATE,
            file,
            KEY,
            template.map(|template| template.map(Value::String)),
        );
    }
}

/// Whether a value is off: null, false, 0, or empty.
fn is_off(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::Bool(on) => !on,
        Json::Number(number) => number.as_f64() == Some(0.0),
        Json::String(text) => text.is_empty(),
        Json::Array(list) => list.is_empty(),
        Json::Object(entries) => entries.is_empty(),
    }
}

/// Whether a value changes the forward pass.
pub(super) fn changes(value: &Json, neutral: &Neutral, head_dim: Option<f64>) -> bool {
    let number = match value {
        Json::Null => return false,
        Json::Bool(on) => Some(f64::from(u8::from(*on))),
        other => other.as_f64(),
    };
    let admitted = match (neutral, number, value.as_str()) {
        // A flag is no factor.
        (Neutral::Numbers(_), ..) if value.is_boolean() => is_off(value),
        (Neutral::Words(words), _, Some(word)) => words.contains(&word),
        (Neutral::Off, None, _) => is_off(value),
        (_, Some(number), _) => neutral.admits(number, head_dim),
        _ => false,
    };
    !admitted
}

/// A value for a message.
fn shown(value: &Json) -> String {
    const LONGEST: usize = 80;
    let text = match value {
        Json::String(text) => format!("`{}`", text.escape_debug()),
        other => other.to_string(),
    };
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
