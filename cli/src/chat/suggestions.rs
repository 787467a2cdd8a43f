//! What the line editor suggests: commands, parameters, conversations and files.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::settings;
use super::table::{COMMANDS, Verb, find};
use crate::escape;
use crate::lines::{Hint, Suggest};
use crate::paths::expanded;

/// Files that are listed at most.
const MOST_FILES: usize = 200;

/// What is known while a person types.
#[derive(Default)]
pub struct Suggestions {
    /// The names of the conversations.
    forks: Mutex<Vec<String>>,
}

impl Suggestions {
    /// There are these conversations now.
    pub fn set_forks(&self, names: Vec<String>) {
        *self.forks.lock().unwrap_or_else(PoisonError::into_inner) = names;
    }

    /// The words that an argument may be.
    fn arguments(&self, verb: Verb, begun: &str) -> Vec<String> {
        match verb {
            Verb::Set => settings::names().map(|name| format!("{name} ")).collect(),
            Verb::Edit => vec!["new".into()],
            Verb::Switch => {
                let forks = self.forks.lock();
                forks.unwrap_or_else(PoisonError::into_inner).clone()
            }
            Verb::Save | Verb::Load => files(begun),
            _ => Vec::new(),
        }
    }
}

impl Suggest for Suggestions {
    fn complete(&self, line: &str) -> (usize, Vec<String>) {
        let Some(command) = line.strip_prefix('/').filter(|_| !line.contains('\n')) else {
            return (0, Vec::new());
        };
        let Some((name, rest)) = command.split_once(' ') else {
            let names = COMMANDS.iter().flat_map(|known| {
                let end = if known.arguments.is_empty() { "" } else { " " };
                known.names.iter().map(move |name| format!("{name}{end}"))
            });
            return (1, names.filter(|name| name.starts_with(command)).collect());
        };
        let begun = rest.trim_start();
        let start = line.len() - begun.len();
        let words = find(name).map(|known| self.arguments(known.verb, begun));
        let words = words.unwrap_or_default().into_iter();
        (
            start,
            words.filter(|word| word.starts_with(begun)).collect(),
        )
    }

    fn hint(&self, line: &str) -> Option<Hint> {
        let command = line.strip_prefix('/').filter(|_| !line.contains('\n'))?;
        let Some((name, rest)) = command.split_once(' ') else {
            let begins = |known: &&super::table::Command| known.names[0].starts_with(command);
            let known = match find(command) {
                Some(known) => known,
                None => COMMANDS
                    .iter()
                    .find(begins)
                    .filter(|_| !command.is_empty())?,
            };
            let rest = known.names[0].strip_prefix(command).unwrap_or_default();
            let arguments = match known.arguments {
                "" => String::new(),
                arguments => format!(" {arguments}"),
            };
            return Some(Hint {
                shown: format!("{rest}{arguments}  {}", known.about),
                completion: (!rest.is_empty()).then(|| rest.to_owned()),
            });
        };
        let known = find(name)?;
        let shown = match (known.verb, rest.trim_start().split_once(' ')) {
            (Verb::Set, Some((parameter, ""))) => settings::value_of(parameter)?,
            (_, None) if rest.trim().is_empty() => known.arguments,
            _ => return None,
        };
        (!shown.is_empty()).then(|| Hint {
            shown: shown.to_owned(),
            completion: None,
        })
    }
}

/// Files and folders whose path begins so. Names that a terminal would obey are left out.
fn files(begun: &str) -> Vec<String> {
    let (folder, _) = begun
        .rsplit_once('/')
        .map_or(("", begun), |(folder, name)| {
            (&begun[..=folder.len()], name)
        });
    let place = match folder {
        "" => Path::new(".").to_owned(),
        folder => expanded(Path::new(folder)),
    };
    let is_hidden_wanted = begun[folder.len()..].starts_with('.');
    let entries = std::fs::read_dir(place).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let is_safe = escape::left_out(&name).is_none() && !name.contains(['\n', '\t']);
            if !is_safe || name.starts_with('.') && !is_hidden_wanted {
                return None;
            }
            let end = if entry.path().is_dir() { "/" } else { "" };
            Some(format!("{folder}{name}{end}"))
        })
        .filter(|path| path.starts_with(begun))
        .take(MOST_FILES)
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_arguments_are_completed() {
        let suggestions = Suggestions::default();
        suggestions.set_forks(vec!["main".into(), "other".into()]);
        let complete = |line: &str| suggestions.complete(line);
        assert_eq!(complete("/re"), (1, vec!["retry".into()]));
        assert_eq!(
            complete("/s").1,
            ["set ", "show", "system ", "switch ", "save ", "stats"]
        );
        assert_eq!(complete("/set te"), (5, vec!["temperature ".into()]));
        assert_eq!(complete("/switch m"), (8, vec!["main".into()]));
        for line in ["hello", "", "/xyz", "/xyz a", "/a\nb", "/undo x"] {
            assert!(complete(line).1.is_empty(), "{line}");
        }
        let hint = |line: &str| suggestions.hint(line).map(|hint| hint.shown);
        assert_eq!(
            hint("/re"),
            Some("try  generate the last answer anew".into())
        );
        assert_eq!(hint("/save "), Some("FILE".into()));
        assert_eq!(hint("/set seed "), Some("a whole number; -1: any".into()));
        for line in ["", "/", "hello", "/zzz", "/save x"] {
            assert_eq!(hint(line), None, "{line}");
        }
    }

    #[test]
    fn files_are_completed() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["talk.json", "tale", ".hidden", "x\u{1b}y"] {
            std::fs::write(folder.path().join(name), "").expect("a file");
        }
        std::fs::create_dir(folder.path().join("talks")).expect("a folder");
        let path = |name: &str| format!("{}/{name}", folder.path().display());
        assert_eq!(files(&path("talk")), [path("talk.json"), path("talks/")]);
        assert_eq!(files(&path("")).len(), 3);
        assert_eq!(files(&path(".h")), [path(".hidden")]);
        assert!(files(&path("none/x")).is_empty());
    }
}
