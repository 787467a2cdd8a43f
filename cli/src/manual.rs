//! `godwit man`: manual pages, in roff.

use std::path::Path;

use clap::CommandFactory as _;
use godwit::low_level::io::durable::{Readers, write_bytes};

use crate::args::Cli;
use crate::exit::{Unwritable, Usage};
use crate::output::Output;

/// Prints a page, or writes all of them into a folder.
pub fn run(command: Option<&str>, folder: Option<&Path>) -> anyhow::Result<()> {
    let pages = pages()?;
    let Some(folder) = folder else {
        let name = command.map_or_else(|| "godwit".into(), |command| format!("godwit-{command}"));
        let page = pages.iter().find(|(found, _)| *found == name);
        let (_, page) = page.ok_or_else(|| {
            let command = command.unwrap_or_default();
            Usage(format!(
                "there is no command `{command}`; `godwit --help` lists them"
            ))
        })?;
        return Output::new().text(page);
    };
    let unwritable = |path: &Path| {
        let file = path.display().to_string();
        move |error: std::io::Error| Unwritable {
            file,
            cause: format!("can't be written: {error}; name another folder"),
        }
    };
    std::fs::create_dir_all(folder).map_err(unwritable(folder))?;
    let mut out = Output::new();
    for (name, page) in pages {
        let path = folder.join(format!("{name}.1"));
        write_bytes(&path, Readers::Umask, page.as_bytes()).map_err(unwritable(&path))?;
        out.path(&path)?;
    }
    Ok(())
}

/// The page of each command, that of `godwit` first, with their names.
pub fn pages() -> std::io::Result<Vec<(String, String)>> {
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    let subcommands = root.get_subcommands().cloned().map(|command| {
        let name = format!("godwit-{}", command.get_name());
        (name, command)
    });
    let all: Vec<_> = std::iter::once(("godwit".to_owned(), root.clone()))
        .chain(subcommands)
        .collect();
    all.into_iter()
        .map(|(name, command)| {
            let mut page = Vec::new();
            clap_mangen::Man::new(command.display_name(name.clone()))
                .title(name.to_ascii_uppercase())
                .date("")
                .source(concat!("godwit ", env!("CARGO_PKG_VERSION")))
                .manual("Godwit")
                .render(&mut page)?;
            Ok((name, String::from_utf8_lossy(&page).into_owned()))
        })
        .collect()
}
