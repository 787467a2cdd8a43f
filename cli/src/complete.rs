//! Shell completion: commands, flags and their values, and the models that are there.
//!
//! The script of a shell calls `godwit` with a variable that asks for candidates, so that it knows
//! what was downloaded since.

use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::env::{CompleteEnv, EnvCompleter, Shells};
use clap_complete::{Shell, env};

use crate::args::Cli;
use crate::exit;
use crate::output::Output;

/// The variable that asks for candidates, with the shell's name.
const VARIABLE: &str = "_GODWIT_COMPLETE";

/// Answers a shell that asks for candidates; none where no shell asks.
pub fn answer() -> Option<ExitCode> {
    std::env::var_os(VARIABLE)?;
    let folder = std::env::current_dir().ok();
    let complete = CompleteEnv::with_factory(Cli::command).var(VARIABLE);
    match complete.try_complete(std::env::args_os(), folder.as_deref()) {
        Ok(true) => Some(ExitCode::SUCCESS),
        Ok(false) => None,
        Err(error) => Some(exit::usage(&error)),
    }
}

/// Prints the script of a shell.
pub fn script(shell: Shell) -> anyhow::Result<()> {
    let shells = Shells::builtins();
    let completer: &dyn EnvCompleter = shells.completer(&shell.to_string()).unwrap_or(&env::Bash);
    let mut script = Vec::new();
    completer.write_registration(VARIABLE, "godwit", "godwit", "godwit", &mut script)?;
    Output::new().text(&String::from_utf8_lossy(&script))
}
