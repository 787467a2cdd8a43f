//! The help and the manual pages, as snapshots in `snapshots`. `INSTA_UPDATE=always cargo test
//! --workspace --lib help` writes them anew; the diff of the commit shows what changed.

use clap::{Command, CommandFactory as _};

use super::Cli;
use crate::manual;

/// Columns of a terminal.
const COLUMNS: usize = 100;

fn commands() -> Vec<Command> {
    let mut root = Cli::command().term_width(COLUMNS);
    root.build();
    let subcommands: Vec<_> = root
        .get_subcommands()
        .filter(|command| command.get_name() != "help")
        .cloned()
        .collect();
    std::iter::once(root).chain(subcommands).collect()
}

#[test]
fn the_help_of_every_command() {
    for mut command in commands() {
        let name = command.get_name().to_owned();
        let (short, long) = (command.render_help(), command.render_long_help());
        insta::assert_snapshot!(format!("{name}-h"), short);
        insta::assert_snapshot!(format!("{name}--help"), long);
    }
}

#[test]
fn the_manual_page_of_every_command() {
    let pages = manual::pages().expect("pages");
    assert_eq!(pages.len(), commands().len());
    for (name, page) in pages {
        let page = page.replace(env!("CARGO_PKG_VERSION"), "VERSION");
        insta::assert_snapshot!(format!("{name}.1"), page);
    }
}

/// The short help fits a screen and leaves nothing out that its heading promises.
#[test]
fn short_help_is_short() {
    for mut command in commands() {
        let name = command.get_name().to_owned();
        let text = command.render_help().to_string();
        let lines = text.lines().count();
        assert!(lines <= 60, "{name} -h has {lines} lines");
        for line in text.lines() {
            assert!(line.chars().count() <= COLUMNS, "{line}");
        }
    }
}

/// Flags of a GPU are only where one is opened.
#[test]
fn commands_have_only_the_flags_that_they_use() {
    for command in commands() {
        let opens_gpu = ["run", "chat", "doctor", "bench", "perplexity", "imatrix"];
        let name = command.get_name();
        let has = |flag: &str| {
            command
                .get_arguments()
                .any(|arg| arg.get_long() == Some(flag))
        };
        assert_eq!(has("adapter"), opens_gpu.contains(&name), "{name}");
        assert_eq!(has("gpu-memory"), has("adapter"), "{name}");
    }
}
