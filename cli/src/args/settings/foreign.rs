//! Variables that look like those of flags, and belong to none.

use std::collections::HashSet;
use std::ffi::OsString;

use clap::{Command, CommandFactory as _};

use super::{CONFIG, Cli, flags, names_of, near, variable};

/// The beginning of every variable.
const PREFIX: &str = "GODWIT_";
/// How alike two variables are where one is proposed for the other. More than of keys: a variable
/// may be another program's.
const ALIKE: f64 = 0.88;

/// A variable that no flag of any command has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// The variable.
    pub name: String,
    /// The variable that may have been meant.
    pub nearest: Option<String>,
}

/// Finds the variables that no flag reads among the names of an environment.
pub fn foreign(environment: impl Iterator<Item = OsString>) -> Vec<Foreign> {
    let names = environment.filter_map(|name| name.into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name.starts_with(PREFIX)).collect();
    if names.is_empty() {
        return Vec::new();
    }
    names.sort();
    let root = Cli::command();
    let known = variables(&root);
    let real: HashSet<&str> = known.iter().map(|(_, real)| &**real).collect();
    let is_foreign = |name: &String| !real.contains(&**name);
    let bare = |name: &str| name[PREFIX.len()..].to_owned();
    let nearest = |name: String| {
        let candidates = known.iter().map(|(other, real)| (bare(other), &**real));
        let nearest = near(&bare(&name), ALIKE, candidates).map(str::to_owned);
        Foreign { name, nearest }
    };
    names.into_iter().filter(is_foreign).map(nearest).collect()
}

/// The variables of all flags, also by the flags' other names, each with the variable that is read.
fn variables(root: &Command) -> Vec<(String, String)> {
    let mut all = vec![(variable(&[CONFIG]), variable(&[CONFIG]))];
    for command in root.get_subcommands() {
        let of_command = command.get_name();
        for (flag, arg) in flags(command) {
            for name in names_of(flag, arg) {
                all.push((variable(&[name]), variable(&[flag])));
                let own = variable(&[of_command, name]);
                all.push((own, variable(&[of_command, flag])));
            }
        }
    }
    all
}
