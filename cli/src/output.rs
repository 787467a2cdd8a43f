//! Output: the one place that writes to stdout and stderr.
//!
//! Nothing that a terminal obeys gets through, but for what progress bars, the line editor and
//! colours of log lines are made of. A pipe or a file gets generated text byte for byte.
#![allow(clippy::disallowed_methods)]

use std::io::{self, IsTerminal as _, StdoutLock, Write as _};
use std::path::Path;
use std::sync::mpsc::channel;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, WeakProgressBar};
use serde::Serialize;

pub use crate::escape::shown;
use crate::escape::{self, Stream};
use crate::render::Markdown;
use crate::screen;
pub use godwit_hub::bytes;

/// Standard output, locked.
pub struct Output {
    out: StdoutLock<'static>,
    /// Cleans generated text, where a terminal shows it.
    stream: Option<Stream>,
    /// Breaks its lines, and shows its Markdown.
    markdown: Option<Markdown>,
}

impl Output {
    pub fn new() -> Self {
        let out = io::stdout().lock();
        let stream = out.is_terminal().then(Stream::default);
        Self {
            out,
            stream,
            markdown: None,
        }
    }

    /// Output of answers: on a terminal, lines break between words, and Markdown is shown.
    /// `is_plain`: neither of them.
    pub fn for_answers(is_plain: bool) -> Self {
        let mut output = Self::new();
        if !is_plain && output.stream.is_some() {
            let is_styled = screen::is_colourful(true);
            output.markdown = Some(Markdown::new(screen::columns(), is_styled));
        }
        output
    }

    /// Ends an answer, and its line.
    pub fn end_answer(&mut self) -> anyhow::Result<()> {
        self.text("\n")?;
        match &mut self.markdown {
            Some(markdown) => {
                let rest = markdown.finish();
                self.write(rest.as_bytes())
            }
            None => Ok(()),
        }
    }

    /// Writes generated text, and shows it at once.
    pub fn text(&mut self, text: &str) -> anyhow::Result<()> {
        match &mut self.stream {
            Some(stream) => {
                let mut clean = stream.push(text);
                if let Some(markdown) = &mut self.markdown {
                    markdown.resize(screen::columns());
                    clean = markdown.push(&clean);
                }
                self.write(clean.as_bytes())
            }
            None => self.write(text.as_bytes()),
        }
    }

    /// Writes a line of a report. Names in it show what they are made of, in a pipe too.
    pub fn line(&mut self, line: &str) -> anyhow::Result<()> {
        self.report(&format!("{line}\n"))
    }

    /// Writes lines of a report, whose line ends they bring.
    pub fn report(&mut self, lines: &str) -> anyhow::Result<()> {
        self.write(escape::message(lines).as_bytes())
    }

    /// Writes a path on a line of its own: for programs as it is, for people as [`shown`] has it.
    pub fn path(&mut self, path: &Path) -> anyhow::Result<()> {
        if self.stream.is_some() {
            return self.line(&shown(&path.to_string_lossy()));
        }
        #[cfg(unix)]
        let bytes = std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str());
        #[cfg(not(unix))]
        let name = path.to_string_lossy();
        #[cfg(not(unix))]
        let bytes = name.as_bytes();
        self.write(&[bytes, b"\n"].concat())
    }

    /// Writes one JSON object on a line.
    pub fn json(&mut self, object: &impl Serialize) -> anyhow::Result<()> {
        self.write(json_line(object)?.as_bytes())
    }

    fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.out.write_all(bytes)?;
        Ok(self.out.flush()?)
    }
}

/// One JSON object on a line, harmless for a terminal.
pub fn json_line(object: &impl Serialize) -> anyhow::Result<String> {
    let text = serde_json::to_string(object)? + "\n";
    Ok(escape::json(&text).into_owned())
}

/// How long the end of the program waits for a bar to be cleared.
const PATIENCE: Duration = Duration::from_millis(200);

/// The bar that may be on the screen.
static BAR: Mutex<Option<WeakProgressBar>> = Mutex::new(None);

/// Notes that a bar is shown from now on.
pub fn show_bar(bar: &ProgressBar) {
    *BAR.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar.downgrade());
}

fn newest_bar() -> Option<ProgressBar> {
    BAR.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .as_ref()?
        .upgrade()
}

/// Takes the bar off the screen, if there is one: the program ends. Gives up after a moment: a
/// thread that writes to a stalled terminal holds the bar's lock.
pub fn clear_bar() {
    let Some(bar) = newest_bar() else { return };
    let (done, wait) = channel();
    let clear = move || {
        if !bar.is_finished() {
            bar.finish_and_clear();
        }
        let _ = done.send(());
    };
    if thread::Builder::new().spawn(clear).is_ok() {
        let _ = wait.recv_timeout(PATIENCE);
    }
}

/// Writes to stderr while no bar is on the screen.
fn beside_bar<T>(write: impl FnOnce() -> T) -> T {
    match newest_bar().filter(|bar| !bar.is_finished()) {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}

/// Writes a line for people to stderr. Where nobody can read it any more (the terminal was closed)
/// it is dropped: what was asked for goes on.
pub fn note(line: &str) {
    beside_bar(|| {
        let _ = writeln!(io::stderr(), "{}", escape::message(line));
    });
}

/// Asks a question on stderr, without a line end.
pub fn ask(question: &str) {
    let mut stderr = io::stderr();
    let _ = write!(stderr, "{} ", escape::message(question)).and_then(|()| stderr.flush());
}

/// Whether people see what is written to stderr.
pub fn is_stderr_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Standard error for what brings colours of its own; what it writes has passed
/// [`escape::message`].
pub fn stderr() -> impl io::Write {
    Stderr
}

/// Standard error, beside the bar.
struct Stderr;

impl io::Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        beside_bar(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Writes a control sequence of Godwit's own to the terminal that the line editor uses.
#[cfg(unix)]
pub fn control(sequence: &[u8]) {
    let (mut stdout, mut stderr) = (io::stdout(), io::stderr());
    if stdout.is_terminal() {
        let _ = stdout.write_all(sequence).and_then(|()| stdout.flush());
    } else if stderr.is_terminal() {
        let _ = stderr.write_all(sequence).and_then(|()| stderr.flush());
    }
}

/// Warns of what is ignored or used instead.
pub fn warn(text: &str) {
    tracing::warn!("{}", shown(text));
}
