//! The command line before it is parsed, and the settings for its command.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Command;

use super::file::{self, Keys};
use super::{CONFIG, Environment, Setting, SettingError, flags, is_shared, variable, variable_of};

/// The parts of a command line that matter before it is parsed.
pub struct CommandLine {
    /// The command's place and name.
    pub command: Option<(usize, String)>,
    /// The value of `--config`.
    config: Option<OsString>,
    /// Help or the version is asked for.
    pub asks_for_help: bool,
}

impl CommandLine {
    /// Looks at a command line.
    pub fn scan(args: &[OsString]) -> Self {
        let mut line = Self {
            command: None,
            config: None,
            asks_for_help: false,
        };
        let flag = format!("--{CONFIG}");
        let mut rest = args.iter().enumerate().skip(1);
        while let Some((at, arg)) = rest.next() {
            let text = arg.to_string_lossy();
            match &*text {
                "--" => break,
                "-h" | "--help" | "-V" | "--version" => line.asks_for_help = true,
                text if text == flag => {
                    line.config = rest.next().map(|(_, value)| value.clone()).or(line.config);
                }
                text if text.starts_with(&format!("{flag}=")) => {
                    line.config = Some(text[flag.len() + 1..].into());
                }
                text if line.command.is_none() && !text.starts_with('-') => {
                    line.asks_for_help |= text == "help";
                    line.command = Some((at, text.into()));
                }
                _ => {}
            }
        }
        line
    }

    /// The settings for the command. Every key of the file is checked, also those of other
    /// commands.
    ///
    /// # Errors
    /// The file can't be read, or a value of it or of a variable is wrong.
    pub fn settings(
        &self,
        root: &Command,
        environment: Environment<'_>,
    ) -> Result<Vec<Setting>, SettingError> {
        let keys = match self.file(environment)? {
            Some((path, text)) => Keys::read(root, &path, &text)?,
            None => Keys::default(),
        };
        let known = self
            .command
            .as_ref()
            .and_then(|(_, name)| Some((name, root.find_subcommand(name)?)));
        let Some((name, command)) = known else {
            return Ok(Vec::new());
        };
        let mut settings = Vec::new();
        for (flag, arg) in flags(command) {
            let from_variable = variable_of(root, name, flag, arg, environment)?;
            let values = from_variable.or_else(|| {
                keys.values(name, flag, is_shared(root, flag, arg))
                    .map(<[_]>::to_vec)
            });
            settings.extend(values.map(|values| Setting {
                id: arg.get_id().to_string(),
                flag: flag.into(),
                values,
            }));
        }
        Ok(settings)
    }

    /// The file's path and text: the one that is named, or the user's own where there is one.
    fn file(
        &self,
        environment: Environment<'_>,
    ) -> Result<Option<(PathBuf, String)>, SettingError> {
        let named = self
            .config
            .clone()
            .or_else(|| environment(&variable(&[CONFIG])));
        let (path, is_named) = match named {
            // An empty name reads none.
            Some(path) if path.is_empty() => return Ok(None),
            Some(path) => (PathBuf::from(path), true),
            None => match default_file(environment) {
                Some(path) => (path, false),
                None => return Ok(None),
            },
        };
        match file::text(&path) {
            Ok(text) => Ok(Some((path, text))),
            Err(error) if !is_named && error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(SettingError {
                place: path.display().to_string(),
                cause: format!("can't read the configuration: {error}"),
            }),
        }
    }
}

/// The user's own file, whether or not it exists.
pub fn default_file(environment: Environment<'_>) -> Option<PathBuf> {
    let named = |variable| environment(variable).map(PathBuf::from);
    let folder = if cfg!(windows) {
        named("APPDATA")
    } else {
        let home = |folder: &str| named("HOME").map(|home| home.join(folder));
        named("XDG_CONFIG_HOME")
            .filter(|path| path.is_absolute())
            .or_else(|| {
                home(if cfg!(target_os = "macos") {
                    "Library/Application Support"
                } else {
                    ".config"
                })
            })
    };
    Some(folder?.join("godwit").join("config.toml"))
}
