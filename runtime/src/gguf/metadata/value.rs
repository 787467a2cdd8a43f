//! One value of the metadata: numbers, strings, and arrays of them.

use std::fmt;

use super::array::Array;

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
    pub(super) fn integer(&self) -> Option<i128> {
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
    pub(super) fn float(&self) -> Option<f64> {
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
