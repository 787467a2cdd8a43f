//! Errors that end a template early.

use super::text::cut;

/// The longest message in bytes. `raise_exception` takes any text.
const MAX_MESSAGE: usize = 4096;

/// Why a template does not compile, or stopped.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Error {
    pub kind: Kind,
    pub message: String,
    /// The template's line, from 1; 0 where it is not known.
    pub line: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The template is not valid Jinja.
    Syntax,
    /// An operation is not possible, or the template refused its input.
    Failed,
    /// The budget of steps is used up.
    Fuel,
    /// The time is used up.
    Time,
    /// The output is longer than allowed.
    Output,
}

impl Error {
    pub(super) fn syntax(message: impl Into<String>, line: u32) -> Self {
        Self {
            kind: Kind::Syntax,
            message: cut(message.into(), MAX_MESSAGE),
            line,
        }
    }

    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self {
            kind: Kind::Failed,
            message: cut(message.into(), MAX_MESSAGE),
            line: 0,
        }
    }

    pub(super) fn fuel() -> Self {
        Self {
            kind: Kind::Fuel,
            message: "the template took too many steps".into(),
            line: 0,
        }
    }

    pub(super) fn time(limit: std::time::Duration) -> Self {
        let message = format!(
            "the template took more than {} seconds and was stopped",
            limit.as_secs_f32()
        );
        Self {
            kind: Kind::Time,
            message,
            line: 0,
        }
    }

    pub(super) fn output() -> Self {
        Self {
            kind: Kind::Output,
            message: "the template wrote too much".into(),
            line: 0,
        }
    }
}
