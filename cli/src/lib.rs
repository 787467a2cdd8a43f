//! The `godwit` command, as a library for its fuzz targets.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod answer;
mod args;
mod bench;
mod chat;
mod clipboard;
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

use clap::CommandFactory as _;

use args::{Cli, Command};
use output::Output;

/// Does what the command line says.
pub fn main() -> ExitCode {
    crash::listen();
    crash::guard(command)
}

fn command() -> ExitCode {
    let cli = match Cli::of(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => return exit::usage(&error),
    };
    let common = cli.command.common();
    log::start(common.verbose);
    warn_of_relative_folders();
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
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "godwit", &mut script);
            print(&script)
        }
        Command::Man => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command())
                .render(&mut page)
                .map_err(Into::into)
                .and_then(|()| print(&page))
        }
    };
    exit::report(result)
}

/// Warns of folders of the XDG specification that are ignored, as it demands.
fn warn_of_relative_folders() {
    if cfg!(windows) {
        return;
    }
    for variable in ["XDG_CACHE_HOME", "XDG_STATE_HOME"] {
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

/// Prints a text that is Godwit's own.
fn print(text: &[u8]) -> anyhow::Result<()> {
    Output::new().text(&String::from_utf8_lossy(text))
}
