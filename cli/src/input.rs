//! Text that a command works on: from the command line, a file, or stdin.

use std::fs::File;
use std::io::{IsTerminal as _, Read as _};
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use godwit::Tokenizer;
use godwit::low_level::io::open::{Links, open_regular};

use crate::crash;
use crate::exit::{BadInput, Usage};
use crate::output::note;

/// The name that stands for stdin where a file is asked for.
const STDIN: &str = "-";

/// How long stdin may stay open before a person hears what is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// The prompt for a model: the text of `-f`, what is piped or redirected into stdin, and the text
/// of `-p`, as far as they are there, one after the other. Without `-p` and `-f`, all of it is
/// stdin's.
///
/// # Errors
/// A file or stdin can't be read, or is not UTF-8.
pub fn prompt(prompt: Option<&str>, file: Option<&Path>) -> anyhow::Result<String> {
    let mut parts = Vec::new();
    if let Some(path) = file {
        parts.push(self::file(path)?);
    }
    let is_wanted = prompt.is_none() && file.is_none();
    let is_read = file.is_some_and(|path| path == Path::new(STDIN));
    if is_wanted || (!is_read && !std::io::stdin().is_terminal()) {
        parts.push(read_stdin(!is_wanted)?);
    }
    parts.extend(prompt.map(str::to_owned));
    parts.retain(|part| !part.is_empty());
    Ok(parts.join("\n\n"))
}

/// The text of `-p`, of `-f` or of stdin, whichever is given.
///
/// # Errors
/// The file or stdin can't be read, or is not UTF-8; or there is text on stdin besides another.
pub fn text(prompt: Option<&str>, file: Option<&Path>) -> anyhow::Result<String> {
    let given = match (prompt, file) {
        (Some(prompt), _) => prompt.to_owned(),
        (None, Some(path)) => self::file(path)?,
        (None, None) => return read_stdin(false),
    };
    let is_read = file.is_some_and(|path| path == Path::new(STDIN));
    if !is_read && !std::io::stdin().is_terminal() && !read_stdin(true)?.is_empty() {
        let more = "there is text on stdin besides another; give one of them, or `< /dev/null`";
        return Err(Usage(more.into()).into());
    }
    Ok(given)
}

/// The text of a file, or of stdin where it is called `-`.
///
/// # Errors
/// It can't be read, or is not UTF-8.
pub fn file(path: &Path) -> anyhow::Result<String> {
    if path == Path::new(STDIN) {
        return read_stdin(false);
    }
    let name = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|e| BadInput {
        file: name.clone(),
        cause: e.to_string(),
    })?;
    decode(&name, bytes)
}

/// A regular file, or a link to one.
///
/// # Errors
/// It can't be opened, or is something else.
pub fn open(path: &Path) -> anyhow::Result<File> {
    let bad = |cause: String| BadInput {
        file: path.display().to_string(),
        cause,
    };
    // Opening a pipe does not wait for its writer.
    let (file, _) = open_regular(path, Links::Follow).map_err(|error| bad(error.to_string()))?;
    Ok(file)
}

/// All of stdin. Where it is read besides another text, a person who did not mean it hears how to
/// leave it out: a program that starts this one may have left a pipe open that never ends.
fn read_stdin(besides: bool) -> anyhow::Result<String> {
    let (done, waiting) = channel::<()>();
    if besides {
        crash::spawn("stdin", move || {
            if waiting.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                note("(reading stdin to its end, for the prompt; `< /dev/null` leaves it out)");
            }
        })?;
    }
    if std::io::stdin().is_terminal() {
        note("(type the text; Ctrl-D on a line of its own ends it)");
    }
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().read_to_end(&mut bytes);
    drop(done);
    read.map_err(|e| BadInput {
        file: "stdin".into(),
        cause: e.to_string(),
    })?;
    decode("stdin", bytes)
}

/// Text without its last line end, which is no part of a prompt.
fn decode(name: &str, bytes: Vec<u8>) -> anyhow::Result<String> {
    let text = String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        let cause =
            format!("byte {at} is not UTF-8; convert the text first, for instance with iconv");
        BadInput {
            file: name.to_owned(),
            cause,
        }
    })?;
    Ok(text
        .strip_suffix('\n')
        .map(|t| t.strip_suffix('\r').unwrap_or(t))
        .unwrap_or(&text)
        .to_owned())
}

/// The tokens after the one that begins every text, where the model has one.
pub fn with_bos(tokenizer: &Tokenizer, mut ids: Vec<u32>) -> Vec<u32> {
    if let (true, Some(bos)) = (tokenizer.adds_bos(), tokenizer.bos())
        && ids.first() != Some(&bos)
    {
        ids.insert(0, bos);
    }
    ids
}
