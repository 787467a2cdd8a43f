//! The commands of a conversation: their names, and what is said of them.

use crate::output::shown;

/// A command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Help,
    Set,
    Show,
    System,
    Retry,
    Edit,
    Undo,
    Copy,
    Fork,
    Forks,
    Switch,
    Clear,
    Save,
    Load,
    Stats,
    Exit,
}

/// A command as a person knows it.
#[derive(Debug)]
pub struct Command {
    pub verb: Verb,
    /// What to type; the first name is the one that is shown.
    pub names: &'static [&'static str],
    /// What may follow.
    pub arguments: &'static str,
    pub about: &'static str,
}

const fn command(
    verb: Verb,
    names: &'static [&'static str],
    arguments: &'static str,
    about: &'static str,
) -> Command {
    Command {
        verb,
        names,
        arguments,
        about,
    }
}

/// All of them, in the order of `/help`.
pub const COMMANDS: [Command; 16] = [
    command(Verb::Help, &["help", "?"], "", "list the commands"),
    command(
        Verb::Set,
        &["set"],
        "PARAMETER VALUE",
        "set a parameter: temperature, context, system …",
    ),
    command(
        Verb::Show,
        &["show"],
        "",
        "show the model and the parameters",
    ),
    command(
        Verb::System,
        &["system"],
        "[TEXT]",
        "show or set the system message; - removes it",
    ),
    command(Verb::Retry, &["retry"], "", "generate the last answer anew"),
    command(
        Verb::Edit,
        &["edit"],
        "[new]",
        "change the last question in $EDITOR, or write a new one",
    ),
    command(
        Verb::Undo,
        &["undo"],
        "",
        "remove the last question and its answer",
    ),
    command(
        Verb::Copy,
        &["copy"],
        "",
        "copy the last answer to the clipboard",
    ),
    command(
        Verb::Fork,
        &["fork"],
        "[NAME]",
        "go on in a copy of the conversation",
    ),
    command(Verb::Forks, &["forks"], "", "list the conversations"),
    command(Verb::Switch, &["switch"], "NAME", "go to another one"),
    command(
        Verb::Clear,
        &["clear", "new"],
        "",
        "begin anew; the system message stays",
    ),
    command(
        Verb::Save,
        &["save"],
        "FILE",
        "write a transcript, which /load and --resume read",
    ),
    command(
        Verb::Load,
        &["load"],
        "FILE",
        "go on with a transcript or a snapshot",
    ),
    command(
        Verb::Stats,
        &["stats"],
        "",
        "show tokens, speed and memory so far",
    ),
    command(
        Verb::Exit,
        &["exit", "bye", "quit"],
        "",
        "leave (so does Ctrl-D)",
    ),
];

/// What `/help` says of the keys.
const KEYS: &str = "\
Alt-Enter or Ctrl-J begins a line of the same message; so does a \\ at the end of a line.
\"\"\" begins and ends a message of several lines. Pasted lines are one message.
Tab completes commands. The up arrow brings back what was typed.
Ctrl-C stops the answer, or leaves what is being typed unsent.";

/// The command of a name.
pub fn find(name: &str) -> Option<&'static Command> {
    COMMANDS
        .iter()
        .find(|command| command.names.contains(&name))
}

/// What is said of a name that is none.
pub fn unknown(name: &str) -> String {
    /// How alike two names are, from 0 to 1.
    const LIKENESS: f64 = 0.8;
    let names = COMMANDS.iter().flat_map(|command| command.names);
    let near = names
        .map(|known| (strsim::jaro_winkler(known, name), known))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(likeness, _)| *likeness > LIKENESS);
    let near = near.map_or_else(String::new, |(_, known)| format!(" Did you mean /{known}?"));
    format!("Unknown command /{}.{near} Type /help.", shown(name))
}

/// The text of `/help`.
pub fn help() -> String {
    let rows = COMMANDS.iter().map(|command| {
        let names: Vec<String> = command
            .names
            .iter()
            .map(|name| format!("/{name}"))
            .collect();
        (
            format!("{} {}", names.join(", "), command.arguments),
            command.about,
        )
    });
    let rows: Vec<_> = rows.collect();
    let width = rows.iter().map(|(left, _)| left.len()).max().unwrap_or(0);
    let mut text: String = rows
        .iter()
        .map(|(left, about)| format!("{left:<width$}  {about}\n"))
        .collect();
    text.push_str(KEYS);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_and_suggested() {
        for (name, verb) in [
            ("?", Verb::Help),
            ("bye", Verb::Exit),
            ("retry", Verb::Retry),
        ] {
            assert_eq!(find(name).map(|command| command.verb), Some(verb));
        }
        assert_eq!(unknown("foo"), "Unknown command /foo. Type /help.");
        assert!(unknown("sytem").contains("Did you mean /system?"));
        let help = help();
        assert!(
            help.lines().all(|line| line.chars().count() <= 100),
            "{help}"
        );
        let mut names: Vec<_> = COMMANDS.iter().flat_map(|command| command.names).collect();
        names.sort();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count, "each name has one meaning");
    }
}
