//! Answers on a terminal: light Markdown, and lines that break between words.
//!
//! Text comes in pieces of any size, and is shown as soon as it is certain: a word when it ends, a
//! bold or code span when it is closed. Nothing that was shown is changed afterwards, so no cursor
//! moves.

mod markdown;
mod marks;
mod wrap;

pub use markdown::Markdown;

/// How a character looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    bold: bool,
    code: bool,
    dim: bool,
}

impl Style {
    const BOLD: Self = Self {
        bold: true,
        code: false,
        dim: false,
    };
    const CODE: Self = Self {
        bold: false,
        code: true,
        dim: false,
    };
    const DIM: Self = Self {
        bold: false,
        code: false,
        dim: true,
    };

    /// Both styles together.
    fn with(self, other: Self) -> Self {
        Self {
            bold: self.bold || other.bold,
            code: self.code || other.code,
            dim: self.dim || other.dim,
        }
    }

    /// The control sequences that begin the style.
    fn begin(self) -> impl Iterator<Item = &'static str> {
        let all = [
            (self.bold, "\x1b[1m"),
            (self.dim, "\x1b[2m"),
            (self.code, "\x1b[36m"),
        ];
        all.into_iter().filter(|(is_on, _)| *is_on).map(|(_, s)| s)
    }
}

/// Ends every style.
const RESET: &str = "\x1b[0m";

/// A text in a dim colour, where colours are wanted.
pub fn dim(text: &str, is_colourful: bool) -> String {
    match is_colourful {
        true => format!("\x1b[2m{text}{RESET}"),
        false => text.into(),
    }
}
