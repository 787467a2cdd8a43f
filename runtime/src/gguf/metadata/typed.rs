//! Values by type: of any width that a file may have them in, or an error that names the key.

use super::{Array, Metadata, Value};
use crate::gguf::error::{FormatCause, FormatError};

impl Metadata {
    fn convert<'a, T>(
        &'a self,
        key: &str,
        expected: &'static str,
        convert: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, FormatError> {
        let Some(value) = self.get(key) else {
            return self
                .unusable
                .get(key)
                .map_or(Ok(None), |error| Err(error.clone()));
        };
        match convert(value) {
            Some(value) => Ok(Some(value)),
            None => {
                let found = match (value, value.integer(), value.float()) {
                    (Value::String(text), ..) => format!("a string (`{}`)", shortened(text)),
                    (_, Some(number), _) => format!("{} ({number})", value.kind()),
                    (_, None, Some(number)) => format!("{} ({number})", value.kind()),
                    _ => value.kind().into(),
                };
                Err(self.cause(key, FormatCause::ValueKind { expected, found }))
            }
        }
    }

    /// A string, if the key is there.
    ///
    /// # Errors
    /// When the value has another type; the same goes for all functions here.
    pub fn string(&self, key: &str) -> Result<Option<&str>, FormatError> {
        self.convert(key, "a string", |value| match value {
            Value::String(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// An integer of any width that fits.
    ///
    /// # Errors
    /// When the value has another type or doesn't fit.
    pub fn u32(&self, key: &str) -> Result<Option<u32>, FormatError> {
        self.convert(key, "an integer of 32 bits, 0 or more", |value| {
            u32::try_from(value.integer()?).ok()
        })
    }

    /// An integer of any width that fits.
    ///
    /// # Errors
    /// When the value has another type or is negative.
    pub fn u64(&self, key: &str) -> Result<Option<u64>, FormatError> {
        self.convert(key, "an integer, 0 or more", |value| {
            u64::try_from(value.integer()?).ok()
        })
    }

    /// An integer, or the one integer that all values of an array are.
    ///
    /// # Errors
    /// When the value has another type or is negative, or the values of the array differ.
    pub fn uniform(&self, key: &str) -> Result<Option<u64>, FormatError> {
        if let Some(Value::Array(array)) = self.get(key)
            && let Some((first, other)) = array.first_two_values()
            && let Ok(first) = u64::try_from(first)
        {
            return match other.map(u64::try_from) {
                None => Ok(Some(first)),
                Some(Ok(other)) => Err(self.cause(key, FormatCause::Uneven { first, other })),
                Some(Err(_)) => self.u64(key),
            };
        }
        self.u64(key)
    }

    /// A number as an `f32`.
    ///
    /// # Errors
    /// When the value isn't a number.
    pub fn f32(&self, key: &str) -> Result<Option<f32>, FormatError> {
        self.convert(key, "a number", |value| {
            value.float().map(|value| value as f32)
        })
    }

    /// A number as an `f64`.
    ///
    /// # Errors
    /// When the value isn't a number.
    pub fn f64(&self, key: &str) -> Result<Option<f64>, FormatError> {
        self.convert(key, "a number", Value::float)
    }

    /// A bool, or 0 or 1 as an integer.
    ///
    /// # Errors
    /// When the value has another type.
    pub fn bool(&self, key: &str) -> Result<Option<bool>, FormatError> {
        self.convert(key, "a bool", |value| match (value, value.integer()) {
            (Value::Bool(value), _) => Some(*value),
            (_, Some(0)) => Some(false),
            (_, Some(1)) => Some(true),
            _ => None,
        })
    }

    /// An array of strings.
    ///
    /// # Errors
    /// When the value has another type.
    pub fn strings(&self, key: &str) -> Result<Option<&[String]>, FormatError> {
        self.convert(key, "an array of strings", |value| match value {
            Value::Array(Array::String(list)) => Some(list.as_slice()),
            Value::Array(array) if array.is_empty() => Some(&[]),
            _ => None,
        })
    }

    /// An array of integers that fit.
    ///
    /// # Errors
    /// When the value has another type or one of them doesn't fit.
    pub fn i32s(&self, key: &str) -> Result<Option<Vec<i32>>, FormatError> {
        self.convert(key, "an array of 32-bit integers", |value| match value {
            Value::Array(array) => array.integers(),
            _ => None,
        })
    }

    /// An array of floats.
    ///
    /// # Errors
    /// When the value has another type.
    pub fn f32s(&self, key: &str) -> Result<Option<Vec<f32>>, FormatError> {
        self.convert(key, "an array of floats", |value| match value {
            Value::Array(Array::F32(list)) => Some(list.clone()),
            Value::Array(Array::F64(list)) => {
                Some(list.iter().map(|&value| value as f32).collect())
            }
            Value::Array(array) if array.is_empty() => Some(Vec::new()),
            // Every integer of 32 bits is a float closely enough for a score.
            Value::Array(array) => Some(
                array
                    .integers::<i32>()?
                    .into_iter()
                    .map(|value| value as f32)
                    .collect(),
            ),
            _ => None,
        })
    }
}

/// The beginning of a text, for a message.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 40;
    let mut short: String = text
        .chars()
        .take(LONGEST)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(LONGEST).is_some() {
        short.push('…');
    }
    short
}
