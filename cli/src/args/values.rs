//! Parsers of values that help and shell completion list.

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
