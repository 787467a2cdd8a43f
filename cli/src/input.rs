//! Text that a command works on: from the command line, a file, or stdin.

use std::io::Read as _;
use std::path::Path;

use crate::exit::BadInput;

/// The text of `-f` and then of `-p`, else of stdin. A file's last line end is no part of a prompt.
pub fn text(prompt: Option<&str>, file: Option<&Path>) -> anyhow::Result<String> {
    match (prompt, file) {
        (Some(prompt), None) => Ok(prompt.to_owned()),
        (None, file) => read(file),
        (Some(prompt), Some(_)) => Ok(format!("{}\n\n{prompt}", read(file)?)),
    }
}

fn read(file: Option<&Path>) -> anyhow::Result<String> {
    let (name, read) = match file {
        Some(path) => (path.display().to_string(), std::fs::read(path)),
        None => {
            let mut bytes = Vec::new();
            let read = std::io::stdin().lock().read_to_end(&mut bytes);
            ("stdin".to_owned(), read.map(|_| bytes))
        }
    };
    let bad = |fault: String| BadInput { file: name.clone(), fault };
    let bytes = read.map_err(|e| bad(e.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        bad(format!("byte {at} is not UTF-8; convert the text first, for instance with iconv"))
    })?;
    Ok(text.strip_suffix('\n').map(|t| t.strip_suffix('\r').unwrap_or(t)).unwrap_or(&text).to_owned())
}
