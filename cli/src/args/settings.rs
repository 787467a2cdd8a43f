//! Defaults of flags from the environment and from a file.
//!
//! A flag on the command line comes first, then its variable, then its key in the file, then the
//! built-in default. Names of variables and keys are derived from the flags of the whole command
//! tree, so that a flag that is added later has both.
//!
//! A setting becomes a default value of clap's. It therefore meets neither `requires` nor
//! `conflicts_with`: a folder for a cache in the file is no reason to refuse `--no-cache`.

mod file;
mod foreign;
mod line;
#[cfg(test)]
mod model_tests;
mod names;
#[cfg(test)]
mod tests;

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches as _};

use super::{Cli, OTHER_MODELS, ParallelArgs, translated};
pub use foreign::foreign;
use line::CommandLine;
use names::{flags, is_shared, names_of, near, variable};

/// The flag that names the file. It has a variable too, and no key.
const CONFIG: &str = "config";

/// Reads a variable of the environment.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// A command line that is not followed.
#[derive(Debug)]
pub enum Refusal {
    /// Help, the version, or an error of the command line.
    Clap(Box<clap::Error>),
    /// An error of a variable or of the file.
    Setting(SettingError),
}

impl From<clap::Error> for Refusal {
    fn from(error: clap::Error) -> Self {
        Self::Clap(Box::new(error))
    }
}

impl From<SettingError> for Refusal {
    fn from(error: SettingError) -> Self {
        Self::Setting(error)
    }
}

/// A variable or a line of the file that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {cause}")]
pub struct SettingError {
    /// The variable, or the file and the line.
    pub place: String,
    /// What is wrong, and what to do.
    pub cause: String,
}

/// The values of a flag.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Setting {
    /// Clap's name of the flag.
    id: String,
    /// The name behind `--`.
    flag: String,
    /// The values as the command line would have them; of a switch, `true` or `false`.
    values: Vec<OsString>,
}

/// Parses a command line, with defaults from the environment and the file.
///
/// # Errors
/// Help is asked for, or the command line, a variable or the file is wrong.
pub fn parse(args: &[OsString], environment: Environment<'_>) -> Result<Cli, Refusal> {
    let args = translated(args.iter().cloned());
    let (mut command, matches) = matched(&args, environment)?;
    let name = matches.subcommand_name().unwrap_or_default().to_owned();
    command.build();
    let command = match command.find_subcommand_mut(&name) {
        Some(subcommand) => subcommand,
        None => &mut command,
    };
    // Settings say nothing here: only what is typed is checked.
    if let Some(("run", run)) = matches.subcommand() {
        if let Some(option) = ParallelArgs::lone_option(run) {
            let message = format!("{option} of `godwit run` needs --parallel FILE");
            return Err(command
                .error(ErrorKind::MissingRequiredArgument, message)
                .into());
        }
        if let Some(message) = two_prompts(run) {
            return Err(command.error(ErrorKind::ArgumentConflict, message).into());
        }
    }
    let mut cli = Cli::from_arg_matches(&matches)?;
    let settled = cli.command.settle();
    settled.map_err(|message| command.error(ErrorKind::ArgumentConflict, message))?;
    Ok(cli)
}

/// The error of words of a prompt beside another prompt. Clap takes the first word for MODEL where
/// a flag names the model.
fn two_prompts(run: &ArgMatches) -> Option<String> {
    let is_typed = |id: &str| run.value_source(id) == Some(ValueSource::CommandLine);
    let has_word = is_typed("model") && OTHER_MODELS.into_iter().any(is_typed);
    let other = ["prompt", "parallel"].into_iter().find(|id| is_typed(id));
    let other = other.filter(|_| has_word)?;
    let word = run.get_raw("model").into_iter().flatten().next();
    let word = word.unwrap_or_default().to_string_lossy();
    Some(format!(
        "`{word}` and --{other} are two prompts; give one of them"
    ))
}

/// The parsed command line, and the commands that it was parsed by.
fn matched(
    args: &[OsString],
    environment: Environment<'_>,
) -> Result<(Command, ArgMatches), Refusal> {
    let root = Cli::tolerant();
    let mut line = CommandLine::scan(args);
    // An alias stands for its command; what is no command is clap's to refuse.
    line.command = line.command.and_then(|(at, name)| {
        let command = root.find_subcommand(name)?;
        Some((at, command.get_name().to_owned()))
    });
    let settings = match line.settings(&root, environment) {
        // Help is for those whose file is wrong, too.
        Err(_) if line.asks_for_help => Vec::new(),
        settings => settings?,
    };
    let Some((at, name)) = line.command else {
        let matches = root.clone().try_get_matches_from(args)?;
        return Ok((root, matches));
    };
    let with = |settings: &[Setting]| with_defaults(root.clone(), &name, settings);
    let matches = match with(&settings).try_get_matches_from(args) {
        Err(error) if error.kind() == ErrorKind::MissingRequiredArgument => {
            // A setting may be what is missing: it takes the place of a flag.
            let found = settings.iter().find_map(|setting| {
                let args = with_flag(args, at, setting);
                with(&settings).try_get_matches_from(args).ok()
            });
            found.ok_or(error)?
        }
        matches => matches?,
    };
    let kept = without_conflicts(&root, &name, &matches, &settings);
    if kept.len() == settings.len() {
        return Ok((root, matches));
    }
    let matches = with(&kept).try_get_matches_from(args)?;
    Ok((root, matches))
}

/// The value of a flag's variable: `GODWIT_COMMAND_FLAG`, else `GODWIT_FLAG`. An empty one counts
/// as none.
fn variable_of(
    root: &Command,
    command: &str,
    flag: &str,
    arg: &Arg,
    environment: Environment<'_>,
) -> Result<Option<Vec<OsString>>, SettingError> {
    let own = variable(&[command, flag]);
    let shared = is_shared(root, flag, arg).then(|| variable(&[flag]));
    let mut names = std::iter::once(own).chain(shared);
    let found = names.find_map(|name| {
        let value = environment(&name).filter(|value| !value.is_empty())?;
        Some((name, value))
    });
    let Some((name, value)) = found else {
        return Ok(None);
    };
    let lines = || {
        let text = value.to_str()?;
        Some(text.lines().map(OsString::from).collect::<Vec<_>>())
    };
    let values = match takes_several(arg) && arg.get_value_delimiter().is_none() {
        true => lines().unwrap_or_else(|| vec![value.clone()]),
        false => vec![value],
    };
    let checked = checked(arg, flag, values);
    checked.map(Some).map_err(|cause| SettingError {
        place: format!("the variable {name}"),
        cause,
    })
}

/// Whether a flag takes more than one value.
fn takes_several(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append)
        || arg.get_value_delimiter().is_some()
        || arg
            .get_num_args()
            .is_some_and(|range| range.max_values() > 1)
}

/// The values as clap takes them for a default.
///
/// # Errors
/// They are not of the flag's kind.
fn checked(arg: &Arg, flag: &str, values: Vec<OsString>) -> Result<Vec<OsString>, String> {
    if values.is_empty() {
        return Err(format!("--{flag} needs a value"));
    }
    if values.len() > 1 && !takes_several(arg) {
        return Err(format!(
            "--{flag} takes one value, and not {}",
            values.len()
        ));
    }
    let text = values[0].to_string_lossy();
    match arg.get_action() {
        ArgAction::SetTrue => return Ok(vec![switch(&text)?.to_string().into()]),
        ArgAction::Count => {
            let count = text.parse::<u8>().ok();
            let count = count.map_or_else(|| switch(&text).map(u8::from), Ok)?;
            return Ok(vec![count.to_string().into()]);
        }
        _ => {}
    }
    let wanted = arg.get_num_args().map_or(1, |range| range.min_values());
    if values.len() < wanted {
        return Err(format!(
            "--{flag} takes {wanted} values, and not {}",
            values.len()
        ));
    }
    // Clap's own check of each value, without what the flag has to do with others.
    let mut probe = Arg::new("value")
        .long(flag.to_owned())
        .value_parser(arg.get_value_parser().clone())
        .action(ArgAction::Append)
        .num_args(1)
        .require_equals(true);
    if let Some(delimiter) = arg.get_value_delimiter() {
        probe = probe.value_delimiter(delimiter);
    }
    if let Some(names) = arg.get_value_names() {
        probe = probe.value_name(names[0].clone());
    }
    let typed = values.iter().map(|value| flag_with(flag, value));
    let line = std::iter::once(OsString::from("godwit")).chain(typed);
    match Command::new("godwit").arg(probe).try_get_matches_from(line) {
        Ok(_) => Ok(values),
        Err(error) => {
            let text = error.render().to_string();
            let first = text.split("\n\n").next().unwrap_or_default();
            Err(first.trim_start_matches("error: ").trim_end().to_owned())
        }
    }
}

/// A switch that is on or off.
fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err(format!("`{text}` is neither true nor false")),
    }
}

/// `--flag=value`.
fn flag_with(flag: &str, value: &OsStr) -> OsString {
    let mut typed = OsString::from(format!("--{flag}="));
    typed.push(value);
    typed
}

/// The commands with these defaults for the flags of one of them.
fn with_defaults(root: Command, name: &str, settings: &[Setting]) -> Command {
    root.mut_subcommand(name, |command| {
        settings.iter().fold(command, |command, setting| {
            command.mut_arg(&setting.id, |arg| {
                // Help shows the default of the program, or none: the file's is known to whoever
                // wrote it.
                let is_switch = matches!(arg.get_action(), ArgAction::SetTrue | ArgAction::Count);
                let is_shown = is_switch || !arg.get_default_values().is_empty();
                arg.required(false)
                    .default_values(setting.values.clone())
                    .hide_default_value(!is_shown)
            })
        })
    })
}

/// The command line with a setting as a flag behind the command, which is at `at`.
fn with_flag(args: &[OsString], at: usize, setting: &Setting) -> Vec<OsString> {
    let values = &setting.values;
    let flag = match &values[..] {
        [value] if value == "true" => vec![format!("--{}", setting.flag).into()],
        [value] if value == "false" => Vec::new(),
        [value] => vec![flag_with(&setting.flag, value)],
        values => std::iter::once(format!("--{}", setting.flag).into())
            .chain(values.iter().cloned())
            .collect(),
    };
    let (before, after) = args.split_at(at + 1);
    [before, &flag, after].concat()
}

/// The settings without those that a flag on the command line contradicts.
fn without_conflicts(
    root: &Command,
    name: &str,
    matches: &ArgMatches,
    settings: &[Setting],
) -> Vec<Setting> {
    let mut root = root.clone();
    root.build();
    let (Some(command), Some((_, matches))) = (root.find_subcommand(name), matches.subcommand())
    else {
        return settings.to_vec();
    };
    let typed: Vec<&Arg> = command
        .get_arguments()
        .filter(|arg| {
            matches.try_contains_id(arg.get_id().as_str()).is_ok()
                && matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine)
        })
        .collect();
    let contradict = |a: &Arg, b: &Arg| {
        let names = |arg: &Arg, other: &Arg| {
            command
                .get_arg_conflicts_with(arg)
                .iter()
                .any(|found| found.get_id() == other.get_id())
        };
        names(a, b) || names(b, a)
    };
    let has_model = typed.iter().any(|arg| arg.get_id() == "model");
    let stays = |setting: &&Setting| {
        // What is typed for MODEL is the model, and not a prompt.
        if has_model && OTHER_MODELS.contains(&&*setting.id) {
            return false;
        }
        let found = command
            .get_arguments()
            .find(|arg| arg.get_id().as_str() == setting.id);
        found.is_none_or(|arg| !typed.iter().any(|typed| contradict(arg, typed)))
    };
    settings.iter().filter(stays).cloned().collect()
}

/// The file and the line of a byte, for messages.
fn line_of(path: &Path, text: &str, byte: usize) -> String {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    format!("{}, line {line}", path.display())
}
