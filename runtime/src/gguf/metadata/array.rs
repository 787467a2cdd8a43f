//! An array of the metadata: values of one type.

use std::fmt;

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
    pub(super) fn first_two_values(&self) -> Option<(i128, Option<i128>)> {
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
    pub(super) fn integers<T: TryFrom<i128>>(&self) -> Option<Vec<T>> {
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
