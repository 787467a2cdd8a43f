//! The line editor: its keys, its hints, and what it shows.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustyline::completion::Completer;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Cmd, ConditionalEventHandler, Context, Event, EventContext, Helper};

use crate::escape;
use crate::render::dim;

/// What stands behind a line while it is typed.
pub struct Hint {
    pub shown: String,
    /// The text that the right arrow appends to the line, where it appends any.
    pub completion: Option<String>,
}

impl rustyline::hint::Hint for Hint {
    fn display(&self) -> &str {
        &self.shown
    }

    fn completion(&self) -> Option<&str> {
        self.completion.as_deref()
    }
}

/// What an editor suggests for a line.
pub trait Suggest: Send + Sync {
    /// The words that may stand at the end of the line, and where in it they begin.
    fn complete(&self, line: &str) -> (usize, Vec<String>);

    /// What is shown behind the line.
    fn hint(&self, line: &str) -> Option<Hint>;
}

/// Shows a line on its way to the terminal: what was pasted, and what the history brings back, may
/// hold control characters.
pub(super) struct Display {
    pub(super) suggest: Arc<dyn Suggest>,
    /// The prompt and hints have colours.
    pub(super) is_colourful: bool,
}

impl Helper for Display {}

impl Validator for Display {}

impl Completer for Display {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(self.suggest.complete(&line[..at]))
    }
}

impl Hinter for Display {
    type Hint = Hint;

    fn hint(&self, line: &str, at: usize, _: &Context<'_>) -> Option<Hint> {
        match escape::left_out(line) {
            Some(codes) => Some(Hint {
                shown: format!("  (not shown: {codes})"),
                completion: None,
            }),
            None => self.suggest.hint(line).filter(|_| at == line.len()),
        }
    }
}

impl Highlighter for Display {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        escape::edited(line)
    }

    /// The prompt of a search through the history holds what is searched.
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(
        &'s self,
        prompt: &'p str,
        is_own: bool,
    ) -> Cow<'b, str> {
        let prompt = escape::edited(prompt);
        match is_own && self.is_colourful {
            true => format!("\x1b[32m{prompt}\x1b[0m").into(),
            false => prompt,
        }
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        dim(hint, self.is_colourful).into()
    }
}

/// Leaves the line, and keeps what was typed.
fn leave(context: &EventContext<'_>, typed: &Mutex<String>) -> Option<Cmd> {
    let mut typed = typed.lock().unwrap_or_else(PoisonError::into_inner);
    context.line().clone_into(&mut typed);
    Some(Cmd::Interrupt)
}

/// Keeps what was typed before Ctrl-C, which the editor itself drops.
pub(super) struct KeepTyped(pub(super) Arc<Mutex<String>>);

impl ConditionalEventHandler for KeepTyped {
    fn handle(
        &self,
        _: &Event,
        _: rustyline::RepeatCount,
        _: bool,
        context: &EventContext<'_>,
    ) -> Option<Cmd> {
        leave(context, &self.0)
    }
}

/// Leaves the line at Ctrl-Z, to suspend the program with the terminal as it was. The editor's own
/// way is for programs of one thread: elsewhere the terminal is changed again before the program
/// stops.
pub(super) struct Suspend {
    pub(super) typed: Arc<Mutex<String>>,
    pub(super) is_suspended: Arc<AtomicBool>,
}

impl ConditionalEventHandler for Suspend {
    fn handle(
        &self,
        _: &Event,
        _: rustyline::RepeatCount,
        _: bool,
        context: &EventContext<'_>,
    ) -> Option<Cmd> {
        let command = leave(context, &self.typed);
        self.is_suspended.store(true, Ordering::SeqCst);
        command
    }
}
