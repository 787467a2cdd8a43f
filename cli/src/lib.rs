//! The `godwit` command, as a library for its fuzz targets.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod answer;
mod args;
mod bench;
mod cache;
mod candidates;
mod chat;
mod clipboard;
mod complete;
mod consent;
mod context;
mod crash;
mod destination;
mod doctor;
mod escape;
mod exit;
mod history;
mod imatrix;
mod input;
mod inspect;
mod lines;
mod load;
mod locate;
mod log;
mod lossy;
mod manual;
mod models;
mod output;
mod parallel;
mod paths;
mod perplexity;
mod progress;
mod quantize;
mod render;
mod run;
mod screen;
mod stop;
mod terminal;
mod text;
mod tokenize;
mod transcript;
mod wgsl;

use std::process::ExitCode;

use args::{Command, Refusal};

/// Does what the command line says.
pub fn main() -> ExitCode {
    crash::listen();
    crash::guard(command)
}

fn command() -> ExitCode {
    if let Some(code) = complete::answer() {
        return code;
    }
    let args: Vec<_> = std::env::args_os().collect();
    let cli = match args::parse(&args, &|variable| std::env::var_os(variable)) {
        Ok(cli) => cli,
        Err(Refusal::Clap(error)) => return exit::usage(&error),
        Err(Refusal::Setting(error)) => {
            return exit::report(Err(exit::Usage(error.to_string()).into()));
        }
    };
    let common = cli.command.common();
    log::start(common.verbose);
    warn_of_relative_folders();
    warn_of_foreign_variables();
    let result = match &cli.command {
        Command::Run(args) => run::run(args),
        Command::Chat(args) => chat::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Tokenize(args) => tokenize::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Perplexity(args) => perplexity::run(args),
        Command::Quantize(args) => quantize::run(args),
        Command::Imatrix(args) => imatrix::run(args),
        Command::Pull(args) => models::pull(args),
        Command::List(args) => models::list(args),
        Command::Show(args) => models::show(args),
        Command::Rm(args) => models::remove(args),
        Command::Cache(args) => cache::run(args),
        Command::Completions { shell } => complete::script(*shell),
        Command::Man { command, dir } => manual::run(command.as_deref(), dir.as_deref()),
    };
    exit::report(result)
}

/// Names the variables that look like those of flags, and are not read: a likely mistake with a
/// warning, any other with -v.
fn warn_of_foreign_variables() {
    for variable in args::foreign(std::env::vars_os().map(|(name, _)| name)) {
        let name = output::shown(&variable.name);
        match variable.nearest {
            Some(nearest) => output::warn(&format!(
                "no flag reads the variable {name}; did you mean {nearest}?"
            )),
            None => tracing::info!("no flag reads the variable {name}"),
        }
    }
}

/// Warns of folders of the XDG specification that are ignored, as it demands.
fn warn_of_relative_folders() {
    if cfg!(windows) {
        return;
    }
    for variable in ["XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"] {
        let value = std::env::var_os(variable).unwrap_or_default();
        if !value.is_empty() && std::path::Path::new(&value).is_relative() {
            let value = value.to_string_lossy();
            output::warn(&format!(
                "{variable} is `{value}`, which is no absolute path, and is ignored; set it to an \
                 absolute path"
            ));
        }
    }
}
