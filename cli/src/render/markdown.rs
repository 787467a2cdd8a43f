//! The Markdown that models write most: headings, lists, bold and code.
//!
//! Whatever is not closed, or stands inside of a word, is shown as it was written: `x**2` and
//! `a*b` lose nothing.

use super::Style;
use super::marks::{LONGEST_LEAD, Line, Span, line, span};
use super::wrap::Wrap;

/// The longest span that is waited for, in characters.
const LONGEST_SPAN: usize = 400;

/// Where in the text the next character is.
#[derive(Debug)]
enum Place {
    /// At the beginning of a line, after these characters.
    Lead(String),
    /// In flowing text of this style.
    Text(Style),
    /// On a line that is shown as it is.
    Verbatim(Style),
    /// On the line that begins a block of code, or ends it.
    FenceLine,
    /// At the beginning of a line in a block of code, after these characters.
    CodeLead(String),
}

/// An answer on its way to a terminal.
#[derive(Debug)]
pub struct Markdown {
    wrap: Wrap,
    /// Without styles the text stays as it is, but for the breaks of lines.
    is_styled: bool,
    place: Place,
    /// The fence of the block of code that the text is in.
    fence: Option<String>,
    /// A span that has begun, with its marks.
    held: String,
    /// The last character of flowing text.
    last: Option<char>,
}

impl Markdown {
    /// Columns of the terminal, and whether it shows styles.
    pub fn new(width: Option<usize>, is_styled: bool) -> Self {
        Self {
            wrap: Wrap::new(width),
            is_styled,
            place: Place::Lead(String::new()),
            fence: None,
            held: String::new(),
            last: None,
        }
    }

    /// The terminal has another width now.
    pub fn resize(&mut self, width: Option<usize>) {
        self.wrap.resize(width);
    }

    /// Takes a piece of the text; returns what can be shown now.
    pub fn push(&mut self, text: &str) -> String {
        for c in text.chars() {
            match self.is_styled {
                true => self.take(c),
                false => self.wrap.push(c, Style::default()),
            }
        }
        self.wrap.take()
    }

    /// Ends the text; returns the rest of it.
    pub fn finish(&mut self) -> String {
        match std::mem::replace(&mut self.place, Place::Text(Style::default())) {
            Place::Lead(lead) => self.text(&lead, Style::default()),
            Place::CodeLead(lead) => self.verbatim(&lead, Style::CODE),
            Place::Text(style) => self.release(style),
            Place::Verbatim(_) | Place::FenceLine => {}
        }
        self.release(Style::default());
        self.wrap.finish();
        self.wrap.take()
    }

    fn take(&mut self, c: char) {
        match &mut self.place {
            Place::Lead(lead) => {
                if c != '\n' {
                    lead.push(c);
                }
                let lead = lead.clone();
                self.lead(&lead, c);
            }
            Place::Text(style) => {
                let style = *style;
                if c == '\n' {
                    self.release(style);
                    self.end_line();
                } else {
                    self.inline(c, style);
                }
            }
            Place::Verbatim(style) => {
                let style = *style;
                if c == '\n' {
                    self.end_line();
                } else {
                    self.wrap.push_verbatim(c, style);
                }
            }
            Place::FenceLine => {
                if c == '\n' {
                    self.end_line();
                } else {
                    self.wrap.push_verbatim(c, Style::DIM);
                }
            }
            Place::CodeLead(lead) => {
                if c != '\n' {
                    lead.push(c);
                }
                let lead = lead.clone();
                self.code_lead(&lead, c);
            }
        }
    }

    /// Decides what a line is, by its beginning.
    fn lead(&mut self, lead: &str, c: char) {
        if c == '\n' {
            match line(lead, true) {
                Line::Fence(fence) => self.begin_fence(lead, fence),
                _ => {
                    self.text(lead, Style::default());
                    self.release(Style::default());
                }
            }
            return self.end_line();
        }
        match line(lead, false) {
            Line::Undecided => {}
            Line::Text(indent) => {
                self.wrap.indent = indent;
                self.place = Place::Text(Style::default());
                self.text(lead, Style::default());
            }
            Line::Heading => self.place = Place::Text(Style::BOLD),
            Line::Bullet(spaces) => {
                self.wrap.indent = spaces + 2;
                self.place = Place::Text(Style::default());
                let bullet = format!("{}• ", &lead[..spaces]);
                self.text(&bullet, Style::default());
            }
            Line::Table => {
                self.place = Place::Verbatim(Style::default());
                self.verbatim(lead, Style::default());
            }
            Line::Fence(fence) => {
                self.begin_fence(lead, fence);
                self.place = Place::FenceLine;
            }
        }
    }

    fn begin_fence(&mut self, lead: &str, fence: String) {
        self.verbatim(lead, Style::DIM);
        self.fence = Some(fence);
    }

    /// Decides whether a line in a block of code ends the block.
    fn code_lead(&mut self, lead: &str, c: char) {
        let fence = self.fence.clone().unwrap_or_default();
        let begun = lead.trim_start_matches(' ');
        let is_fence = begun.starts_with(&*fence)
            && begun[fence.len()..]
                .chars()
                .all(|c| c == ' ' || fence.starts_with(c));
        if c == '\n' {
            if is_fence {
                self.fence = None;
                self.verbatim(lead, Style::DIM);
            } else {
                self.verbatim(lead, Style::CODE);
            }
            return self.end_line();
        }
        if !is_fence && !fence.starts_with(begun) || lead.len() > LONGEST_LEAD {
            self.place = Place::Verbatim(Style::CODE);
            self.verbatim(lead, Style::CODE);
        }
    }

    fn end_line(&mut self) {
        self.wrap.push('\n', Style::default());
        self.last = None;
        self.place = match self.fence {
            Some(_) => Place::CodeLead(String::new()),
            None => Place::Lead(String::new()),
        };
    }

    fn verbatim(&mut self, text: &str, style: Style) {
        for c in text.chars() {
            self.wrap.push_verbatim(c, style);
        }
    }

    /// Flowing text, in which spans may begin.
    fn text(&mut self, text: &str, style: Style) {
        for c in text.chars() {
            self.inline(c, style);
        }
    }

    fn plain(&mut self, c: char, style: Style) {
        self.last = Some(c);
        self.wrap.push(c, style);
    }

    /// A character of flowing text: of a span, or none.
    fn inline(&mut self, c: char, style: Style) {
        if self.held.is_empty() {
            let is_inside_word = self.last.is_some_and(char::is_alphanumeric);
            match c {
                '`' => self.held.push(c),
                '*' if !is_inside_word => self.held.push(c),
                c => self.plain(c, style),
            }
            return;
        }
        self.held.push(c);
        match span(&self.held) {
            Span::Open if self.held.chars().count() < LONGEST_SPAN => {}
            Span::Closed(inner, kind) => {
                let inner = inner.to_owned();
                self.held.clear();
                for c in inner.chars() {
                    self.plain(c, style.with(kind));
                }
            }
            Span::Open | Span::None => self.release(style),
        }
    }

    /// Shows a span that is none as it was written.
    fn release(&mut self, style: Style) {
        for c in std::mem::take(&mut self.held).chars() {
            self.plain(c, style);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A text as a terminal shows it, in pieces of so many characters. Bold is in `<b>`, code in
    /// `<c>`, dim in `<d>`.
    fn shown(text: &str, width: usize, piece: usize) -> String {
        let mut markdown = Markdown::new(Some(width), true);
        let letters: Vec<char> = text.chars().collect();
        let mut out = String::new();
        for piece in letters.chunks(piece) {
            out += &markdown.push(&piece.iter().collect::<String>());
        }
        out += &markdown.finish();
        out.replace("\x1b[1m", "<b>")
            .replace("\x1b[36m", "<c>")
            .replace("\x1b[2m", "<d>")
            .replace("\x1b[0m", "</>")
    }

    #[test]
    fn what_models_write_is_shown() {
        let cases = [
            ("# Title\ntext", "<b>Title</>\ntext"),
            ("a **bold** word", "a <b>bold</> word"),
            ("**Note:** x", "<b>Note:</> x"),
            ("run `ls -l` now", "run <c>ls -l</> now"),
            ("``a`b``", "<c>a`b</>"),
            ("- one\n- two\n", "• one\n• two\n"),
            ("  * in\n", "  • in\n"),
            ("1. one\n2. two", "1. one\n2. two"),
            (
                "```rust\nfn **main**() {}\n\n  `x`\n```\nafter",
                "<d>```rust</>\n<c>fn **main**() {}</>\n\n<c>  `x`</>\n<d>```</>\nafter",
            ),
            ("| a | **b** |\n", "| a | **b** |\n"),
            ("a\n\nb", "a\n\nb"),
        ];
        for (text, expected) in cases {
            for piece in [1, 2, 3, 100] {
                assert_eq!(shown(text, 80, piece), expected, "{text:?} by {piece}");
            }
        }
    }

    #[test]
    fn what_is_no_mark_stays() {
        for text in [
            "x**2 + y**2 = z",
            "2 ** 3 and 4 * 5",
            "an **open end",
            "an `open end",
            "a*b*c",
            "*one* star",
            "#hashtag",
            "-1 and --flag",
            "---",
            "***",
            "**",
            "`",
            "1.5 and 3) x",
            "12",
            "price: 5 * 3",
            "#",
            "  ",
        ] {
            let expected = text.trim_end_matches(' ');
            for piece in [1, 100] {
                assert_eq!(shown(text, 80, piece), expected, "{text:?}");
            }
            assert_eq!(shown(&format!("{text}\n"), 80, 1), format!("{expected}\n"));
        }
    }

    #[test]
    fn lists_are_indented_where_they_go_on() {
        assert_eq!(
            shown("- one two three\n1. four five six\n", 10, 1),
            "• one two\n  three\n1. four\n   five\n   six\n"
        );
        assert_eq!(
            shown("a **bold word** b", 8, 1),
            "a <b>bold</>\n<b>word</> b"
        );
        // Code is not broken: it could not be copied.
        assert_eq!(
            shown("```\na b c d e f g h\n```\n", 8, 1),
            "<d>```</>\n<c>a b c d e f g h</>\n<d>```</>\n"
        );
    }

    #[test]
    fn without_styles_the_marks_stay() {
        let mut markdown = Markdown::new(Some(10), false);
        let out = markdown.push("# A **b**\n- `c` d e f g") + &markdown.finish();
        assert_eq!(out, "# A **b**\n- `c` d e\nf g");
    }
}
