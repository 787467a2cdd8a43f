//! Names of flags, of their variables and keys, and proposals for mistyped ones.

use clap::{Arg, Command};

use super::CONFIG;

/// The flags of a command that have variables and keys, with their names.
pub fn flags(command: &Command) -> impl Iterator<Item = (&str, &Arg)> {
    command
        .get_arguments()
        .filter_map(|arg| Some((arg.get_long()?, arg)))
        .filter(|(flag, _)| ![CONFIG, "help", "version"].contains(flag))
}

/// The name of a flag, and its other names.
pub fn names_of<'a>(flag: &'a str, arg: &'a Arg) -> impl Iterator<Item = &'a str> {
    let others = arg.get_all_aliases().unwrap_or_default();
    std::iter::once(flag).chain(others)
}

/// The proposal for a mistyped name: that of the likest candidate, at least `alike`, up to 1.
pub fn near<'a>(
    typed: &str,
    alike: f64,
    candidates: impl Iterator<Item = (impl AsRef<str>, &'a str)>,
) -> Option<&'a str> {
    candidates
        .map(|(name, proposal)| (strsim::jaro_winkler(typed, name.as_ref()), proposal))
        .filter(|(likeness, _)| *likeness >= alike)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, proposal)| proposal)
}

/// The name of a variable: `GODWIT_`, and words in capitals.
pub fn variable(words: &[&str]) -> String {
    let name = format!("godwit_{}", words.join("_"));
    name.replace('-', "_").to_ascii_uppercase()
}

/// Whether a command's flag shares its variable and its key with all commands. It does not where
/// an earlier command has a flag of this name for another kind of value, as `-p` of `bench` is a
/// list of lengths and not a text.
pub fn is_shared(root: &Command, flag: &str, arg: &Arg) -> bool {
    let first = root
        .get_subcommands()
        .find_map(|command| flags(command).find(|(name, _)| *name == flag));
    first.is_none_or(|(_, first)| first.get_value_names() == arg.get_value_names())
}
