//! Writing a message in the person's own editor.

use std::process::{Command, Stdio};

use crate::terminal;

/// Lets a person edit a text in `$VISUAL` or `$EDITOR`. Returns it without the last line ends.
///
/// # Errors
/// The editor can't be started, or fails.
pub fn edit(text: &str) -> anyhow::Result<String> {
    let editor = ["VISUAL", "EDITOR"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|v| !v.trim().is_empty()));
    let editor = editor.unwrap_or_else(|| if cfg!(windows) { "notepad" } else { "vi" }.into());
    // Editors choose the language of a file by its name.
    let file = tempfile::Builder::new()
        .prefix("godwit-")
        .suffix(".md")
        .tempfile()?;
    std::fs::write(file.path(), text)?;
    let mut command = shell(&editor);
    command.arg(file.path());
    #[cfg(unix)]
    if !crate::screen::is_stdout_terminal() {
        // An editor draws on the terminal, not into the log.
        let tty = std::fs::OpenOptions::new().write(true).open("/dev/tty")?;
        command.stdout(tty);
    }
    terminal::restore();
    let status = command.stdin(Stdio::inherit()).status();
    terminal::quiet();
    let status = status
        .map_err(|error| anyhow::Error::msg(format!("can't start the editor {editor}: {error}")))?;
    if !status.success() {
        return Err(anyhow::Error::msg(format!(
            "the editor `{editor}` ended with {status}; $EDITOR names another"
        )));
    }
    let bytes = std::fs::read(file.path())?;
    let text = String::from_utf8(bytes)
        .map_err(|_| anyhow::Error::msg("what the editor wrote is not UTF-8"))?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

/// The editor with its arguments: `$EDITOR` may be `code --wait`.
#[cfg(unix)]
fn shell(editor: &str) -> Command {
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!("{editor} \"$@\""))
        .arg(editor);
    command
}

#[cfg(not(unix))]
fn shell(editor: &str) -> Command {
    let mut words = editor.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or(editor));
    command.args(words);
    command
}
