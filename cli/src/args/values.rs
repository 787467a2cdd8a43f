//! Parsers of values: numbers, and values that help and shell completion list.

use std::ffi::OsStr;
use std::marker::PhantomData;
use std::str::FromStr;

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::{Arg, Command};

/// What a `FromStr` of clap's must report.
type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A parser of `T` that names values. `T` decides what is accepted.
#[derive(Debug)]
pub struct Named<T> {
    names: Vec<String>,
    kind: PhantomData<fn() -> T>,
}

impl<T> Clone for Named<T> {
    fn clone(&self) -> Self {
        Self {
            names: self.names.clone(),
            kind: PhantomData,
        }
    }
}

/// A parser that names the usual values of `T`.
pub fn usual<T>(names: &[&str]) -> Named<T> {
    one_of(names.iter().map(|name| (*name).to_owned()))
}

/// A parser that names these values of `T`.
pub fn one_of<T>(names: impl Iterator<Item = String>) -> Named<T> {
    Named {
        names: names.collect(),
        kind: PhantomData,
    }
}

impl<T> TypedValueParser for Named<T>
where
    T: FromStr<Err: Into<Cause>> + Clone + Send + Sync + 'static,
{
    type Value = T;

    fn parse_ref(
        &self,
        command: &Command,
        arg: Option<&Arg>,
        value: &OsStr,
    ) -> Result<T, clap::Error> {
        let parser = StringValueParser::new().try_map(|text| text.parse::<T>());
        parser.parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.names.iter().map(PossibleValue::new)))
    }
}

/// A number of bytes: 123, 4K, 5M, 6G, 7T in powers of 1024, with or without `B` or `iB`.
pub fn bytes(text: &str) -> Result<u64, String> {
    let number = text
        .trim()
        .trim_end_matches(['B', 'b'])
        .trim_end_matches('i');
    let digits = number.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match number[digits.len()..].to_ascii_lowercase().as_str() {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err("write a number of bytes such as 500M or 6G".into()),
    };
    let value: f64 = digits
        .trim()
        .parse()
        .map_err(|_| format!("`{digits}` is no number"))?;
    let bytes = value * (1_u64 << shift) as f64;
    if (0.0..9e18).contains(&bytes) {
        Ok(bytes as u64)
    } else {
        Err(format!("`{text}` is no amount of memory"))
    }
}

/// A whole number that is not negative.
pub fn whole<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
    let wrong = || match text.starts_with('-') {
        true => "it is negative; write 0 or more".to_owned(),
        false => "write a whole number".to_owned(),
    };
    let number: u64 = text.trim().parse().map_err(|_| wrong())?;
    T::try_from(number).map_err(|_| "it is too large".to_owned())
}

/// A number of milliseconds, at least 1.
pub fn milliseconds(text: &str) -> Result<u64, String> {
    match whole(text)? {
        0 => Err("write 1 or more".into()),
        number => Ok(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_amounts_of_memory() {
        assert_eq!(bytes("1000"), Ok(1000));
        assert_eq!(bytes("1.5G"), Ok(3 << 29));
        assert_eq!(bytes("64 MiB"), Ok(64 << 20));
        assert!(
            ["", "G", "1X", "-1", "inf", "nan", "1e30"]
                .iter()
                .all(|text| bytes(text).is_err())
        );
    }
}
