//! The messages that a person types or a program pipes into a chat.
//!
//! Lines are read on a thread of their own, so that a termination signal ends the wait for one.

mod editor;

use std::io::{BufRead as _, IsTerminal as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{
    Behavior, Cmd, ColorMode, CompletionType, Config, Editor, EventHandler, KeyCode, KeyEvent,
    Modifiers,
};

use crate::exit::BadInput;
use crate::history::History;
use crate::output::{note, warn};
use crate::screen::{is_colourful, is_stdout_terminal};
use crate::stop::Stop;
use crate::{crash, terminal};
use editor::{Display, KeepTyped, Suspend};
pub use editor::{Hint, Suggest};

/// How often a wait for a line looks whether the program is to end.
const LOOK: Duration = Duration::from_millis(100);

/// What it means that the file of the history can't be used.
const UNKEPT: &str = "what is typed in this chat is not kept for the next; XDG_STATE_HOME names \
    another folder for it";

/// Begins and ends a message of several lines.
const QUOTES: &str = "\"\"\"";

/// A message.
pub struct Typed {
    pub text: String,
    /// It was written between `"""`: no command, whatever it begins with.
    pub is_quoted: bool,
}

/// The result of asking for a line.
enum Input {
    Line(String),
    /// Ctrl-C, and what was typed on the line before it.
    Interrupted(String),
    /// The end of the input, or Ctrl-D.
    End,
}

/// A request to the reading thread.
enum Request {
    Read(&'static str),
    /// Keep a message in the history.
    Remember(String),
}

/// Where a chat's messages come from.
pub struct Messages<'a> {
    requests: Sender<Request>,
    inputs: Receiver<anyhow::Result<Input>>,
    is_terminal: bool,
    stop: &'a Stop,
}

impl<'a> Messages<'a> {
    /// Messages from stdin, with a line editor where that is a terminal.
    ///
    /// # Errors
    /// The system has no thread to spare.
    pub fn open(stop: &'a Stop, suggest: Arc<dyn Suggest>) -> anyhow::Result<Self> {
        let is_terminal = std::io::stdin().is_terminal();
        let (requests, asked) = channel();
        let (answers, inputs) = channel();
        terminal::keep();
        terminal::quiet();
        let read = move || {
            let mut lines = match Lines::open(is_terminal, suggest) {
                Ok(lines) => lines,
                Err(error) => {
                    // The receiver is gone where the chat has ended.
                    let _ = answers.send(Err(error));
                    return;
                }
            };
            for request in asked {
                match request {
                    Request::Remember(text) => lines.remember(&text),
                    Request::Read(prompt) => {
                        if answers.send(lines.next(prompt)).is_err() {
                            return;
                        }
                    }
                }
            }
        };
        crash::spawn("lines", read)?;
        Ok(Self {
            requests,
            inputs,
            is_terminal,
            stop,
        })
    }

    /// Whether a person types them.
    pub fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// The next message; none at the end of the input, or when the program is to end. Lines that
    /// end in a backslash and lines between `"""` belong together. Ctrl-C leaves a message without
    /// sending it; it stays in the history, and so does one that Ctrl-D leaves.
    ///
    /// # Errors
    /// Reading fails, or a line is not UTF-8.
    pub fn next(&mut self) -> anyhow::Result<Option<Typed>> {
        loop {
            let first = match self.line("> ")? {
                Input::Line(line) => line,
                Input::Interrupted(typed) => {
                    if typed.is_empty() && !self.stop.terminated() {
                        note("(Ctrl-D or /exit leaves the chat)");
                    }
                    self.remember(typed);
                    continue;
                }
                Input::End => return Ok(None),
            };
            let quoted = first.trim_start().strip_prefix(QUOTES).map(str::to_owned);
            let is_quoted = quoted.is_some();
            let message = match quoted {
                Some(rest) => self.quoted(rest)?,
                None => self.continued(first)?,
            };
            if self.stop.terminated() {
                return Ok(None);
            }
            if let Some(text) = message {
                self.remember(if is_quoted {
                    format!("{QUOTES}{text}{QUOTES}")
                } else {
                    text.clone()
                });
                return Ok(Some(Typed { text, is_quoted }));
            }
        }
    }

    /// The lines up to closing quotes, the first without its opening ones. None: it was left
    /// unsent.
    fn quoted(&mut self, first: String) -> anyhow::Result<Option<String>> {
        let mut lines = Vec::new();
        let mut line = first;
        loop {
            if let Some(last) = line.trim_end().strip_suffix(QUOTES) {
                lines.push(last.to_owned());
                break;
            }
            lines.push(line);
            match self.more(&lines.join("\n"))? {
                More::Line(next) => line = next,
                More::End => break,
                More::Left => return Ok(None),
            }
        }
        Ok(Some(lines.join("\n").trim_matches('\n').to_owned()))
    }

    /// The lines that a backslash joins to the first. None: it was left unsent.
    fn continued(&mut self, first: String) -> anyhow::Result<Option<String>> {
        let mut text = first;
        while text.ends_with('\\') {
            text.pop();
            text.push('\n');
            match self.more(&text)? {
                More::Line(next) => text.push_str(&next),
                More::End => break,
                More::Left => return Ok(None),
            }
        }
        Ok(Some(text))
    }

    /// Another line of a message that so far is `text`.
    fn more(&mut self, text: &str) -> anyhow::Result<More> {
        let typed = match self.line(". ")? {
            Input::Line(line) => return Ok(More::Line(line)),
            // A program that closes its pipe has said all; a person who presses Ctrl-D has not
            // asked to send.
            Input::End if !self.is_terminal => return Ok(More::End),
            Input::End => String::new(),
            Input::Interrupted(typed) => typed,
        };
        self.remember(format!("{text}\n{typed}"));
        if !self.stop.terminated() {
            note("(not sent; the up arrow brings it back)");
        }
        Ok(More::Left)
    }

    /// One line. The end of the program counts as the end of the input.
    fn line(&mut self, prompt: &'static str) -> anyhow::Result<Input> {
        if self.stop.terminated() || self.requests.send(Request::Read(prompt)).is_err() {
            return Ok(Input::End);
        }
        loop {
            match self.inputs.recv_timeout(LOOK) {
                Ok(input) => return input,
                Err(RecvTimeoutError::Timeout) if !self.stop.terminated() => {}
                Err(_) => return Ok(Input::End),
            }
        }
    }

    fn remember(&self, text: String) {
        let text = text.trim_end().to_owned();
        if self.is_terminal && !text.is_empty() {
            // A history that can't be kept is no reason to stop talking.
            let _ = self.requests.send(Request::Remember(text));
        }
    }
}

/// The mark that continues a message.
enum More {
    Line(String),
    /// The input has ended, and the message with it.
    End,
    /// The message was left unsent.
    Left,
}

/// Lines from a terminal or a pipe, on the thread that waits for them.
enum Lines {
    Editor {
        editor: Box<Editor<Display, DefaultHistory>>,
        history: Option<History>,
        /// The text of the line when it was left.
        typed: Arc<Mutex<String>>,
        /// It was left by Ctrl-Z.
        is_suspended: Arc<AtomicBool>,
    },
    Piped,
}

impl Lines {
    fn open(is_terminal: bool, suggest: Arc<dyn Suggest>) -> anyhow::Result<Self> {
        if !is_terminal {
            return Ok(Self::Piped);
        }
        // rustyline calls the highlighter only with colours on; `Display` adds them only where they
        // are wanted.
        let config = Config::builder()
            .color_mode(ColorMode::Forced)
            .completion_type(CompletionType::List);
        // What is typed is drawn on the terminal, also where answers go to a pipe or a file.
        let config = match is_stdout_terminal() {
            true => config,
            false => config.behavior(Behavior::PreferTerm),
        };
        let mut editor = Editor::with_config(config.build())?;
        editor.set_helper(Some(Display {
            suggest,
            is_colourful: is_colourful(true),
        }));
        for key in [
            KeyEvent::ctrl('J'),
            KeyEvent(KeyCode::Enter, Modifiers::ALT),
        ] {
            editor.bind_sequence(key, Cmd::Newline);
        }
        let typed = Arc::<Mutex<String>>::default();
        let keep = EventHandler::Conditional(Box::new(KeepTyped(Arc::clone(&typed))));
        editor.bind_sequence(KeyEvent::ctrl('C'), keep);
        let is_suspended = Arc::<AtomicBool>::default();
        let suspend = Suspend {
            typed: Arc::clone(&typed),
            is_suspended: Arc::clone(&is_suspended),
        };
        editor.bind_sequence(
            KeyEvent::ctrl('Z'),
            EventHandler::Conditional(Box::new(suspend)),
        );
        let mut history = History::of_user();
        match history
            .as_ref()
            .map_or_else(|| Ok(Vec::new()), History::entries)
        {
            Ok(entries) => {
                for entry in entries {
                    let _ = editor.add_history_entry(entry);
                }
            }
            Err(error) => {
                warn(&format!("{error}; {UNKEPT}"));
                history = None;
            }
        }
        Ok(Self::Editor {
            editor: Box::new(editor),
            history,
            typed,
            is_suspended,
        })
    }

    fn next(&mut self, prompt: &str) -> anyhow::Result<Input> {
        match self {
            Self::Editor {
                editor,
                typed,
                is_suspended,
                ..
            } => {
                let take =
                    || std::mem::take(&mut *typed.lock().unwrap_or_else(PoisonError::into_inner));
                let mut begun = String::new();
                loop {
                    let read =
                        terminal::edit(|| editor.readline_with_initial(prompt, (&begun, "")));
                    match read {
                        Ok(line) => return Ok(Input::Line(line)),
                        Err(ReadlineError::Interrupted)
                            if is_suspended.swap(false, Ordering::SeqCst) =>
                        {
                            begun = take();
                            terminal::suspend();
                        }
                        Err(ReadlineError::Interrupted) => return Ok(Input::Interrupted(take())),
                        Err(ReadlineError::Eof) => return Ok(Input::End),
                        Err(error) => return Err(error.into()),
                    }
                }
            }
            Self::Piped => {
                let mut bytes = Vec::new();
                std::io::stdin().lock().read_until(b'\n', &mut bytes)?;
                if bytes.is_empty() {
                    return Ok(Input::End);
                }
                let not_utf8 = || BadInput {
                    file: "stdin".into(),
                    cause: "a line is not UTF-8".into(),
                };
                let line = String::from_utf8(bytes).map_err(|_| not_utf8())?;
                Ok(Input::Line(line.trim_end_matches(['\n', '\r']).to_owned()))
            }
        }
    }

    fn remember(&mut self, text: &str) {
        if let Self::Editor {
            editor, history, ..
        } = self
        {
            // Without a history a chat goes on all the same.
            let _ = editor.add_history_entry(text);
            if let Some(Err(error)) = history.as_ref().map(|history| history.add(text)) {
                warn(&format!("{error}; {UNKEPT}"));
                // One cause gives one warning.
                *history = None;
            }
        }
    }
}
