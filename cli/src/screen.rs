//! What a terminal can show, and whether there is one.
#![allow(clippy::disallowed_methods, reason = "nothing is written here")]

use std::io::{IsTerminal as _, stdin, stdout};

/// Whether the terminal obeys no control sequences, so that there is no line editor.
pub fn is_dumb() -> bool {
    let dumb = ["dumb", "cons25", "emacs"];
    std::env::var("TERM").is_ok_and(|term| dumb.iter().any(|d| term.eq_ignore_ascii_case(d)))
}

/// Whether colours and styles may be written to a stream that is, or is not, a terminal:
/// <https://no-color.org>.
pub fn is_colourful(is_terminal: bool) -> bool {
    is_terminal && !is_dumb() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Whether people see what is written to stdout.
pub fn is_stdout_terminal() -> bool {
    stdout().is_terminal()
}

/// Whether a person sits at this program: it reads from a terminal and writes to one.
pub fn is_interactive() -> bool {
    stdin().is_terminal() && is_stdout_terminal()
}

/// Columns of the terminal that shows stdout; none where it does not say.
pub fn columns() -> Option<usize> {
    let (columns, _) = terminal_size::terminal_size_of(stdout())?;
    Some(usize::from(columns.0)).filter(|&columns| columns > 0)
}
