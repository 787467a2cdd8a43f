//! Standard output: text as it comes, or one JSON object.

use std::io::{self, StdoutLock, Write as _};

use serde::Serialize;

/// Standard output, locked.
pub struct Output(StdoutLock<'static>);

impl Output {
    pub fn new() -> Self {
        Self(io::stdout().lock())
    }

    /// Writes text, and shows it at once.
    pub fn text(&mut self, text: &str) -> anyhow::Result<()> {
        self.bytes(text.as_bytes())
    }

    pub fn line(&mut self, line: &str) -> anyhow::Result<()> {
        self.bytes(format!("{line}\n").as_bytes())
    }

    pub fn bytes(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.0.write_all(bytes)?;
        Ok(self.0.flush()?)
    }

    /// Writes one JSON object on a line.
    pub fn json(&mut self, object: &impl Serialize) -> anyhow::Result<()> {
        self.line(&serde_json::to_string(object)?)
    }
}

/// Writes a line for people to stderr. Where nobody can read it any more (the terminal was closed) it is dropped:
/// what was asked for goes on.
pub fn note(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// A number of bytes, for people.
pub fn bytes(count: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut size = count as f64;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < units.len() {
        size /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{size:.1} {}", units[unit]) }
}

/// Warns of what is ignored or used instead, with text from a file.
pub fn warn(text: &str) {
    tracing::warn!("{}", printable(text));
}

/// Text from a file for a terminal: nothing that would steer it.
pub fn printable(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect()
}
