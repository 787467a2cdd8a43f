//! The line editor: its keys, its hints, and what it shows.

use super::{
    Arc, AtomicBool, Cmd, Completer, ConditionalEventHandler, Context, Cow, Event, EventContext,
    Highlighter, Hint, Hinter, Mutex, Ordering, PoisonError, escape,
};

/// Shows a line on its way to the terminal: what was pasted, and what the history brings back, may
/// hold control characters.
pub(super) struct Display;

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
        context
            .line()
            .clone_into(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
        Some(Cmd::Interrupt)
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
        context
            .line()
            .clone_into(&mut self.typed.lock().unwrap_or_else(PoisonError::into_inner));
        self.is_suspended.store(true, Ordering::SeqCst);
        Some(Cmd::Interrupt)
    }
}
