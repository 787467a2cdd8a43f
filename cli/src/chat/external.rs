//! Writing a message in the person's own editor.

use std::io::IsTerminal as _;
use std::process::{Command, Stdio};

use super::Chat;
use crate::args::ChatArgs;
use crate::output::note;
use crate::stop::Stop;
use crate::terminal;

impl Chat<'_> {
    /// Lets a person change the last question, and answers it anew; `new` writes a new one.
    pub(super) async fn edit(
        &mut self,
        rest: &str,
        args: &ChatArgs,
        stop: &Stop,
    ) -> anyhow::Result<()> {
        if !std::io::stdin().is_terminal() {
            note("error: /edit needs a terminal");
            return Ok(());
        }
        let at = self.last_question().filter(|_| rest.is_empty());
        let before = match at {
            Some(at) => self.messages[at].content.clone(),
            None => rest.strip_prefix("new").unwrap_or(rest).trim().to_owned(),
        };
        let text = match self::edit(&before) {
            Ok(text) => text,
            Err(error) => {
                note(&format!("error: {error:#}"));
                return Ok(());
            }
        };
        // Ctrl-C was the editor's.
        stop.clear();
        if text.trim().is_empty() || (at.is_some() && text == before) {
            note("(nothing is changed, and nothing is sent)");
            return Ok(());
        }
        note(&format!("> {text}"));
        let earlier = self.messages.clone();
        let at = at.unwrap_or(self.messages.len());
        self.messages.truncate(at);
        let answered = self.turn(&text, None, args, stop).await;
        if self.messages.len() <= at && earlier.len() > at {
            self.messages = earlier;
            note("(the earlier question and its answer stay)");
        }
        answered
    }
}

/// Lets a person edit a text in `$VISUAL` or `$EDITOR`. Returns it without the last line ends.
///
/// # Errors
/// The editor can't be started, or fails.
fn edit(text: &str) -> anyhow::Result<String> {
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
