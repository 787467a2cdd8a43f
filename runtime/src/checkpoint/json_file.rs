//! One JSON file of a repository: its values by key, with errors that name the file and the key.

use serde_json::{Map, Value as Json};

use crate::gguf::{FormatCause, FormatError};
use crate::json::{object_within, other_than_object};

/// The memory limit of a file's values. Lists of layers and modules take a few megabytes.
const MOST_VALUES: usize = 24 << 20;

/// The key that the tokenizer reads by itself: by far the longest part of a
/// `tokenizer_config.json`.
const ADDED_TOKENS: &str = "added_tokens_decoder";

/// One JSON file of a repository.
pub(super) struct JsonFile {
    pub(super) name: String,
    /// The prefix of the keys of a nested object, for messages.
    prefix: String,
    pub(super) root: Map<String, Json>,
}

impl JsonFile {
    /// Parses a file that must hold an object.
    pub(super) fn parse(name: &str, bytes: &[u8]) -> Result<Self, FormatError> {
        let file = |cause| FormatError::file(name, FormatCause::Json(cause));
        match object_within(bytes, MOST_VALUES, &[ADDED_TOKENS]) {
            Ok(root) => Ok(Self {
                name: name.into(),
                prefix: String::new(),
                root,
            }),
            Err(e) => Err(file(json_cause(bytes, &e))),
        }
    }

    /// The file's name, for messages.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// A key as messages name it: with those of the objects that it is in.
    pub(super) fn own(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// The object under a key; nothing where the key is missing or null.
    pub(super) fn object(&self, key: &str) -> Result<Option<JsonFile>, FormatError> {
        match self.root.get(key) {
            None | Some(Json::Null) => Ok(None),
            Some(Json::Object(root)) => {
                let (name, prefix) = (self.name.clone(), format!("{}.", self.own(key)));
                Ok(Some(JsonFile {
                    name,
                    prefix,
                    root: root.clone(),
                }))
            }
            Some(other) => Err(self.wrong(key, "an object", other)),
        }
    }

    /// All keys and values.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&str, &Json)> {
        self.root.iter().map(|(key, value)| (key.as_str(), value))
    }

    fn wrong(&self, key: &str, expected: &'static str, found: &Json) -> FormatError {
        let found = match found {
            Json::Number(n) => format!("a number ({n})"),
            Json::String(text) if text.len() <= 40 => {
                format!("a string (`{}`)", text.escape_debug())
            }
            other => kind(other).into(),
        };
        FormatError::key(
            self.name.as_str(),
            self.own(key),
            FormatCause::ValueKind { expected, found },
        )
    }

    pub(super) fn get<T>(
        &self,
        key: &str,
        expected: &'static str,
        convert: impl FnOnce(&Json) -> Option<T>,
    ) -> Result<Option<T>, FormatError> {
        match self.root.get(key) {
            None | Some(Json::Null) => Ok(None),
            Some(value) => convert(value)
                .map(Some)
                .ok_or_else(|| self.wrong(key, expected, value)),
        }
    }

    pub(super) fn u64(&self, key: &str) -> Result<Option<u64>, FormatError> {
        // Some tools write counts as floats.
        let whole = |number: f64| {
            (number.fract() == 0.0 && (0.0..1e15).contains(&number)).then_some(number as u64)
        };
        self.get(key, "an integer, 0 or more", |value| {
            value.as_u64().or_else(|| whole(value.as_f64()?))
        })
    }

    pub(super) fn f64(&self, key: &str) -> Result<Option<f64>, FormatError> {
        self.get(key, "a number", Json::as_f64)
    }

    pub(super) fn bool(&self, key: &str) -> Result<Option<bool>, FormatError> {
        self.get(key, "a bool", Json::as_bool)
    }

    pub(super) fn string(&self, key: &str) -> Result<Option<String>, FormatError> {
        self.get(key, "a string", |value| value.as_str().map(str::to_owned))
    }

    /// A token's text, alone or with its properties.
    pub(super) fn token(&self, key: &str) -> Result<Option<String>, FormatError> {
        self.get(key, "a token", |value| {
            value
                .as_str()
                .or(value["content"].as_str())
                .map(str::to_owned)
        })
    }

    /// One token id or several.
    pub(super) fn ids(&self, key: &str) -> Result<Vec<u32>, FormatError> {
        // No id is as large as what stands for numbers out of range: no token has it.
        let id = |value: &Json| match (value.as_u64(), value.as_i64()) {
            (Some(id), _) => Some(u32::try_from(id).unwrap_or(u32::MAX)),
            (None, negative) => negative.map(|_| u32::MAX),
        };
        let ids = self.get(key, "a token id or a list of them", |value| match value {
            Json::Array(list) => list.iter().map(id).collect(),
            one => id(one).map(|id| vec![id]),
        })?;
        Ok(ids.unwrap_or_default())
    }
}

/// The error of a file that should hold an object.
pub(super) fn json_cause(bytes: &[u8], error: &serde_json::Error) -> String {
    match other_than_object(bytes) {
        Some(kind) => format!("it holds {kind}, not an object"),
        None => error.to_string(),
    }
}

fn kind(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "a bool",
        Json::Number(_) => "a number",
        Json::String(_) => "a string",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}
