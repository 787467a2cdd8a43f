//! The file of settings: TOML, a key for each flag. Keys at the top are for all commands that have
//! the flag; those in a table `[COMMAND]` are for one command, and come first.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, Read as _};
use std::path::Path;

use clap::{Arg, Command};
use godwit::low_level::io::open::{Links, open_regular};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{SettingError, checked, flags, is_shared, line_of, names_of, near};

/// The longest file that is read, in bytes.
const MOST: u64 = 1 << 20;

/// The text of the file.
///
/// # Errors
/// It can't be read, is too long, or is not UTF-8.
pub fn text(path: &Path) -> io::Result<String> {
    let (file, metadata) = open_regular(path, Links::Follow)?;
    if metadata.len() > MOST {
        return Err(io::Error::other(format!(
            "it has {} bytes, and a configuration has at most {MOST}",
            metadata.len()
        )));
    }
    let mut text = String::new();
    file.take(MOST).read_to_string(&mut text)?;
    Ok(text)
}

/// How alike two keys are where one is proposed for the other.
const ALIKE: f64 = 0.8;

/// The values of the file, checked, by command and flag. The command is empty for keys at the top.
#[derive(Debug, Default)]
pub struct Keys(HashMap<(String, String), Vec<OsString>>);

impl Keys {
    /// Reads the text of the file at `path`.
    ///
    /// # Errors
    /// It is no TOML, or has a key that no command has, or a value that its flag does not take.
    pub fn read(root: &Command, path: &Path, text: &str) -> Result<Self, SettingError> {
        let at = |byte: usize| line_of(path, text, byte);
        let table = DeTable::parse(text).map_err(|error| SettingError {
            place: at(error.span().map_or(0, |span| span.start)),
            cause: format!("it is no TOML: {}", error.message()),
        })?;
        let mut keys = Self::default();
        for (key, value) in table.get_ref() {
            let wrong = |cause: String| SettingError {
                place: at(key.span().start),
                cause,
            };
            let name = key.get_ref();
            match (value.get_ref(), root.find_subcommand(&**name)) {
                (DeValue::Table(table), Some(command)) => {
                    for (key, value) in table {
                        keys.take_own(command, key, value)
                            .map_err(|cause| SettingError {
                                place: at(key.span().start),
                                cause,
                            })?;
                    }
                }
                (DeValue::Table(_), None) => {
                    let names = root.get_subcommands().map(Command::get_name);
                    let names = names.map(|name| (name, name));
                    return Err(wrong(format!(
                        "there is no command `{name}`{}",
                        nearest(name, names)
                    )));
                }
                _ => keys.take_shared(root, key, value).map_err(wrong)?,
            }
        }
        Ok(keys)
    }

    /// The values for a command's flag. `is_shared`: keys at the top are for it, too.
    pub fn values(&self, command: &str, flag: &str, is_shared: bool) -> Option<&[OsString]> {
        let of = |command: &str| self.0.get(&(command.to_owned(), flag.to_owned()));
        let shared = || is_shared.then(|| of("")).flatten();
        of(command).or_else(shared).map(Vec::as_slice)
    }

    /// Takes a key of a command's table.
    fn take_own(
        &mut self,
        command: &Command,
        key: &Spanned<toml::de::DeString<'_>>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<(), String> {
        let (name, known) = (key.get_ref(), || flags(command).flat_map(keys_of));
        let Some((flag, arg)) = flags(command).find(|(flag, _)| *flag == &**name) else {
            return Err(format!(
                "`godwit {}` has no flag `{name}`{}",
                command.get_name(),
                nearest(name, known())
            ));
        };
        let values = checked(arg, flag, texts(value.get_ref())?)?;
        self.0
            .insert((command.get_name().into(), flag.into()), values);
        Ok(())
    }

    /// Takes a key at the top, for the commands whose flag shares it.
    fn take_shared(
        &mut self,
        root: &Command,
        key: &Spanned<toml::de::DeString<'_>>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<(), String> {
        let name = key.get_ref();
        let all = || root.get_subcommands().flat_map(flags);
        let having: Vec<(&str, &Arg)> = all()
            .filter(|(flag, arg)| *flag == &**name && is_shared(root, flag, arg))
            .collect();
        let Some((flag, _)) = having.first() else {
            let names = all().flat_map(keys_of);
            return Err(format!(
                "no command has a flag `{name}`{}",
                nearest(name, names)
            ));
        };
        let texts = texts(value.get_ref())?;
        let mut values = Vec::new();
        for (flag, arg) in &having {
            values = checked(arg, flag, texts.clone())?;
        }
        self.0.insert((String::new(), (*flag).into()), values);
        Ok(())
    }
}

/// The names of a flag, each with the one that is its key.
fn keys_of<'a>((flag, arg): (&'a str, &'a Arg)) -> impl Iterator<Item = (&'a str, &'a str)> {
    names_of(flag, arg).map(move |name| (name, flag))
}

/// A proposal for a mistyped name; empty where none is near.
fn nearest<'a>(typed: &str, names: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let nearest = near(typed, ALIKE, names);
    nearest.map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

/// The texts of a value: one, or those of a list.
fn texts(value: &DeValue<'_>) -> Result<Vec<OsString>, String> {
    let one = |value: &DeValue<'_>| -> Result<OsString, String> {
        Ok(match value {
            DeValue::String(text) => text.to_string().into(),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_err(|_| format!("{} is too large a number", number.as_str()))?
                .to_string()
                .into(),
            DeValue::Float(number) => number.as_str().into(),
            DeValue::Boolean(is_on) => is_on.to_string().into(),
            DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
                return Err("write a text, a number, true or false, or a list of those".into());
            }
        })
    };
    match value {
        DeValue::Array(list) => list.iter().map(|value| one(value.get_ref())).collect(),
        value => Ok(vec![one(value)?]),
    }
}
