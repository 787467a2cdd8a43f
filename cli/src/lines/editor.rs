//! The line editor: its keys, its hints, and what it shows.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustyline::completion::Completer;
use rustyline::highlight::Highlighter;
use rustyline::hint::{Hint, Hinter};
use rustyline::validate::Validator;
use rustyline::{Cmd, ConditionalEventHandler, Context, Event, EventContext, Helper};

use crate::escape;

/// Shows a line on its way to the terminal: what was pasted, and what the history brings back, may
/// hold control characters.
pub(super) struct Display;

impl Helper for Display {}

impl Validator for Display {}

impl Completer for Display {
    type Candidate = String;
}

impl Hinter for Display {
    type Hint = LeftOut;

    fn hint(&self, line: &str, _: usize, _: &Context<'_>) -> Option<LeftOut> {
        Some(LeftOut(format!(
            "  (not shown: {})",
            escape::left_out(line)?
        )))
    }
}

/// What stands behind a line that is not shown whole. No key makes it a part of the line.
pub(super) struct LeftOut(String);

impl Hint for LeftOut {
    fn display(&self) -> &str {
        &self.0
    }

    fn completion(&self) -> Option<&str> {
        None
    }
}

impl Highlighter for Display {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        escape::edited(line)
    }

    /// The prompt of a search through the history holds what is searched.
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _: bool) -> Cow<'b, str> {
        escape::edited(prompt)
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
