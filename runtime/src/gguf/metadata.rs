//! The metadata of a GGUF file: ordered keys and values.

use std::collections::HashMap;
use std::fmt;

use super::error::{FormatCause, FormatError};

/// One value of the metadata.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the variants are named after what they hold")]
pub enum Value {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    U64(u64),
    I64(i64),
    F32(f32),
    F64(f64),
    Bool(bool),
    String(String),
    /// A string that is not valid UTF-8, as its bytes.
    Bytes(Vec<u8>),
    Array(Array),
}

/// Values of one type.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the variants are named after what they hold")]
pub enum Array {
    U8(Vec<u8>),
    I8(Vec<i8>),
    U16(Vec<u16>),
    I16(Vec<i16>),
    U32(Vec<u32>),
    I32(Vec<i32>),
    U64(Vec<u64>),
    I64(Vec<i64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    Bool(Vec<bool>),
    String(Vec<String>),
    /// Strings of which at least one is not valid UTF-8, as their bytes.
    Bytes(Vec<Vec<u8>>),
    Nested(Vec<Array>),
}

/// The same expression for the list in any kind of array.
macro_rules! each {
    ($array:expr, $list:ident => $value:expr) => {
        match $array {
            Array::U8($list) => $value,
            Array::I8($list) => $value,
            Array::U16($list) => $value,
            Array::I16($list) => $value,
            Array::U32($list) => $value,
            Array::I32($list) => $value,
            Array::U64($list) => $value,
            Array::I64($list) => $value,
            Array::F32($list) => $value,
            Array::F64($list) => $value,
            Array::Bool($list) => $value,
            Array::String($list) => $value,
            Array::Bytes($list) => $value,
            Array::Nested($list) => $value,
        }
    };
}

impl Array {
    /// How many values there are.
    pub fn len(&self) -> usize {
        each!(self, list => list.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The kind, in words.
    pub fn kind(&self) -> &'static str {
        match self {
            Array::U8(_) => "an array of u8",
            Array::I8(_) => "an array of i8",
            Array::U16(_) => "an array of u16",
            Array::I16(_) => "an array of i16",
            Array::U32(_) => "an array of u32",
            Array::I32(_) => "an array of i32",
            Array::U64(_) => "an array of u64",
            Array::I64(_) => "an array of i64",
            Array::F32(_) => "an array of f32",
            Array::F64(_) => "an array of f64",
            Array::Bool(_) => "an array of bool",
            Array::String(_) => "an array of strings",
            Array::Bytes(_) => "an array of strings, not all of them valid UTF-8",
            Array::Nested(_) => "an array of arrays",
        }
    }

    /// The first number that is wanted, where it is of numbers or bools. Nothing is copied.
    pub(crate) fn find_number(&self, wanted: impl Fn(f64) -> bool) -> Option<Option<f64>> {
        let wanted = |number: &f64| wanted(*number);
        Some(match self {
            Array::F32(list) => list.iter().map(|&value| value.into()).find(wanted),
            Array::F64(list) => list.iter().copied().find(wanted),
            Array::Bool(list) => list
                .iter()
                .map(|&value| f64::from(u8::from(value)))
                .find(wanted),
            Array::U8(list) => list.iter().map(|&value| value.into()).find(wanted),
            Array::I8(list) => list.iter().map(|&value| value.into()).find(wanted),
            Array::U16(list) => list.iter().map(|&value| value.into()).find(wanted),
            Array::I16(list) => list.iter().map(|&value| value.into()).find(wanted),
            Array::U32(list) => list.iter().map(|&value| value.into()).find(wanted),
            Array::I32(list) => list.iter().map(|&value| value.into()).find(wanted),
            Array::U64(list) => list.iter().map(|&value| value as f64).find(wanted),
            Array::I64(list) => list.iter().map(|&value| value as f64).find(wanted),
            Array::String(_) | Array::Bytes(_) | Array::Nested(_) => return None,
        })
    }

    /// The first of integers, and the first one that differs from it.
    fn first_two_values(&self) -> Option<(i128, Option<i128>)> {
        fn two<I: Copy + Into<i128>>(list: &[I]) -> Option<(i128, Option<i128>)> {
            let first = (*list.first()?).into();
            Some((
                first,
                list.iter()
                    .map(|&value| value.into())
                    .find(|&value| value != first),
            ))
        }
        match self {
            Array::U8(list) => two(list),
            Array::I8(list) => two(list),
            Array::U16(list) => two(list),
            Array::I16(list) => two(list),
            Array::U32(list) => two(list),
            Array::I32(list) => two(list),
            Array::U64(list) => two(list),
            Array::I64(list) => two(list),
            _ => None,
        }
    }

    /// The integers, where all of them fit.
    fn integers<T: TryFrom<i128>>(&self) -> Option<Vec<T>> {
        fn all<T: TryFrom<i128>, I: Copy + Into<i128>>(list: &[I]) -> Option<Vec<T>> {
            list.iter()
                .map(|&value| T::try_from(value.into()).ok())
                .collect()
        }
        match self {
            Array::U8(list) => all(list),
            Array::I8(list) => all(list),
            Array::U16(list) => all(list),
            Array::I16(list) => all(list),
            Array::U32(list) => all(list),
            Array::I32(list) => all(list),
            Array::U64(list) => all(list),
            Array::I64(list) => all(list),
            _ => None,
        }
    }
}

/// How many values of an array are printed.
const SHOWN: usize = 8;

impl fmt::Display for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn some<T>(
            f: &mut fmt::Formatter<'_>,
            list: &[T],
            show: impl Fn(&T, &mut fmt::Formatter<'_>) -> fmt::Result,
        ) -> fmt::Result {
            f.write_str("[")?;
            for (i, value) in list.iter().take(SHOWN).enumerate() {
                f.write_str(if i == 0 { "" } else { ", " })?;
                show(value, f)?;
            }
            match list.len() {
                0..=SHOWN => f.write_str("]"),
                len => write!(f, ", …] ({len} values)"),
            }
        }
        match self {
            Array::String(list) => some(f, list, |value, f| write!(f, "{value:?}")),
            Array::Bytes(list) => some(f, list, |value, f| {
                write!(f, "\"{}\"", value.escape_ascii())
            }),
            Array::Nested(list) => some(f, list, fmt::Display::fmt),
            other => {
                // The numbers and bools print themselves; `Debug` of a float keeps its point.
                each!(other, list => some(f, list, fmt::Debug::fmt))
            }
        }
    }
}

impl Value {
    /// The kind, in words.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::U8(_) => "a u8",
            Value::I8(_) => "an i8",
            Value::U16(_) => "a u16",
            Value::I16(_) => "an i16",
            Value::U32(_) => "a u32",
            Value::I32(_) => "an i32",
            Value::U64(_) => "a u64",
            Value::I64(_) => "an i64",
            Value::F32(_) => "an f32",
            Value::F64(_) => "an f64",
            Value::Bool(_) => "a bool",
            Value::String(_) => "a string",
            Value::Bytes(_) => "a string that is not valid UTF-8",
            Value::Array(array) => array.kind(),
        }
    }

    /// The integer, whatever its width.
    fn integer(&self) -> Option<i128> {
        Some(match *self {
            Value::U8(value) => value.into(),
            Value::I8(value) => value.into(),
            Value::U16(value) => value.into(),
            Value::I16(value) => value.into(),
            Value::U32(value) => value.into(),
            Value::I32(value) => value.into(),
            Value::U64(value) => value.into(),
            Value::I64(value) => value.into(),
            // Some tools write counts as floats.
            Value::F32(value) => whole(value.into())?,
            Value::F64(value) => whole(value)?,
            _ => return None,
        })
    }

    /// The float, or the integer as one.
    fn float(&self) -> Option<f64> {
        match *self {
            Value::F32(value) => Some(value.into()),
            Value::F64(value) => Some(value),
            _ => self.integer().map(|value| value as f64),
        }
    }
}

/// The integer that a float is, where it is one and exact.
fn whole(value: f64) -> Option<i128> {
    const EXACT: f64 = (1_u64 << 53) as f64;
    (value.fract() == 0.0 && value.abs() <= EXACT).then_some(value as i128)
}

impl fmt::Display for Value {
    /// Strings are printed as they are, arrays with their first values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::U8(value) => value.fmt(f),
            Value::I8(value) => value.fmt(f),
            Value::U16(value) => value.fmt(f),
            Value::I16(value) => value.fmt(f),
            Value::U32(value) => value.fmt(f),
            Value::I32(value) => value.fmt(f),
            Value::U64(value) => value.fmt(f),
            Value::I64(value) => value.fmt(f),
            Value::F32(value) => write!(f, "{value:?}"),
            Value::F64(value) => write!(f, "{value:?}"),
            Value::Bool(value) => value.fmt(f),
            Value::String(value) => value.fmt(f),
            Value::Bytes(value) => value.escape_ascii().fmt(f),
            Value::Array(value) => value.fmt(f),
        }
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
