//! The metadata of a GGUF file: ordered keys and values.

mod array;
mod typed;
mod value;

use std::collections::HashMap;

use super::error::{FormatCause, FormatError};
pub use array::Array;
pub use value::Value;

/// The metadata of a model: keys and their values, in the file's order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    file: String,
    entries: Vec<(String, Value)>,
    index: HashMap<String, usize>,
    /// Where a key is from, where that is another file or name.
    origins: HashMap<String, Origin>,
    /// Values that the files have, but that can't be used: an error for whoever asks for them, and
    /// for nobody else.
    unusable: HashMap<String, FormatError>,
}

/// Where the value of a key is from.
#[derive(Clone, Debug, PartialEq)]
struct Origin {
    file: String,
    key: String,
}

impl Metadata {
    /// No keys yet; `file` is named in errors.
    pub fn new(file: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            ..Self::default()
        }
    }

    /// Adds a key. Returns `false`, and changes nothing, where it is there already.
    pub fn insert(&mut self, key: String, value: Value) -> bool {
        if self.index.contains_key(&key) {
            return false;
        }
        self.index.insert(key.clone(), self.entries.len());
        self.entries.push((key, value));
        true
    }

    /// Says which file a key is from and what that file calls it, which is what messages name. The
    /// first of two stays.
    pub(crate) fn set_origin(&mut self, key: &str, file: &str, theirs: &str) {
        self.origins.entry(key.into()).or_insert_with(|| Origin {
            file: file.into(),
            key: theirs.into(),
        });
    }

    /// Keeps an error for whoever asks for the key's value. The first of two stays.
    pub(crate) fn set_unusable(&mut self, key: &str, error: FormatError) {
        if !self.index.contains_key(key) {
            self.unusable.entry(key.into()).or_insert(error);
        }
    }

    /// The file's name of a key.
    pub(crate) fn origin<'a>(&'a self, key: &'a str) -> &'a str {
        self.origins
            .get(key)
            .map_or(key, |origin| origin.key.as_str())
    }

    /// The file that a key is from.
    pub(crate) fn origin_file<'a>(&'a self, key: &str) -> &'a str {
        self.origins
            .get(key)
            .map_or(&self.file, |origin| origin.file.as_str())
    }

    /// The file that the metadata is from.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// A key's value.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.index
            .get(key)
            .and_then(|&at| self.entries.get(at))
            .map(|(_, value)| value)
    }

    /// All keys and values, in the file's order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries
            .iter()
            .map(|(key, value)| (key.as_str(), value))
    }

    /// An error about a key's value.
    pub fn cause(&self, key: &str, cause: FormatCause) -> FormatError {
        FormatError::key(self.origin_file(key), self.origin(key), cause)
    }
}
