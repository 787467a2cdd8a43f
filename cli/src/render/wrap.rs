//! Breaks lines between words, at the width of a terminal.

use unicode_segmentation::UnicodeSegmentation as _;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::{RESET, Style};

/// Columns between two tab stops.
const TAB: usize = 8;

/// What may not begin a line in Chinese and Japanese.
const CLOSING: &str =
    "、。，．：；？！）］｝〉》」』】〕〗’”…ー々ぁぃぅぇぉっゃゅょァィゥェォッャュョ";

/// What may not end a line in Chinese and Japanese.
const OPENING: &str = "（［｛〈《「『【〔〖‘“";

/// Characters on their way to a terminal.
#[derive(Debug)]
pub struct Wrap {
    /// Columns of the terminal; none: lines are not broken.
    width: Option<usize>,
    /// Columns of the line that are written.
    column: usize,
    /// Columns that a continued line begins with.
    pub indent: usize,
    /// Spaces after what is written; a break takes their place.
    spaces: Vec<(char, Style)>,
    /// The word that may go on.
    word: Vec<(char, Style)>,
    /// The style that the terminal has now.
    style: Style,
    out: String,
}

impl Wrap {
    pub fn new(width: Option<usize>) -> Self {
        Self {
            width,
            column: 0,
            indent: 0,
            spaces: Vec::new(),
            word: Vec::new(),
            style: Style::default(),
            out: String::new(),
        }
    }

    /// The terminal has another width now.
    pub fn resize(&mut self, width: Option<usize>) {
        self.width = width;
    }

    /// What may be shown.
    pub fn take(&mut self) -> String {
        std::mem::take(&mut self.out)
    }

    /// Ends the text.
    pub fn finish(&mut self) {
        self.end_word();
        self.set_style(Style::default());
    }

    /// A character of flowing text.
    pub fn push(&mut self, c: char, style: Style) {
        match c {
            '\n' => self.end_line(),
            ' ' | '\t' => {
                self.end_word();
                self.spaces.push((c, style));
            }
            c => {
                if self.may_break_before(c) {
                    self.end_word();
                }
                self.word.push((c, style));
                // A word that fills a line is not waited for.
                if self
                    .width
                    .is_some_and(|width| columns(&self.word) > 4 * width)
                {
                    self.end_word();
                }
            }
        }
    }

    /// A character of a line that is not broken: code, a table.
    pub fn push_verbatim(&mut self, c: char, style: Style) {
        if c == '\n' {
            return self.end_line();
        }
        self.end_word();
        self.write_spaces();
        self.write(c, style);
    }

    fn end_line(&mut self) {
        self.end_word();
        self.spaces.clear();
        self.begin_line();
        self.indent = 0;
    }

    fn begin_line(&mut self) {
        self.set_style(Style::default());
        self.out.push('\n');
        self.column = 0;
    }

    /// Whether a line may be broken between the word and a character. Around wide characters it
    /// may, but for punctuation that belongs to a neighbour; never inside of what is one character
    /// to a reader.
    fn may_break_before(&self, c: char) -> bool {
        let Some(&(last, _)) = self.word.last() else {
            return false;
        };
        let is_wide = |c: char| c.width() == Some(2);
        if !is_wide(last) && !is_wide(c) || CLOSING.contains(c) || OPENING.contains(last) {
            return false;
        }
        let mut text: String = self.word.iter().map(|(c, _)| c).collect();
        let before = text.graphemes(true).count();
        text.push(c);
        text.graphemes(true).count() > before
    }

    fn end_word(&mut self) {
        if self.word.is_empty() {
            return;
        }
        let word = std::mem::take(&mut self.word);
        let width = self.width.unwrap_or(usize::MAX);
        let needed = columns(&word);
        let begin = self.column.saturating_add(self.spaces.len());
        let fits = begin.saturating_add(needed) <= width;
        if !fits && self.column > self.indent_within(width) {
            self.spaces.clear();
            self.break_line(width);
        }
        self.write_spaces();
        if self.column.saturating_add(needed) <= width {
            for (c, style) in word {
                self.write_char(c, style);
            }
            self.column += needed;
            return;
        }
        // It is longer than a line.
        let text: String = word.iter().map(|(c, _)| c).collect();
        let mut letters = word.into_iter();
        for cluster in text.graphemes(true) {
            let needed = cluster.width();
            if self.column + needed > width && self.column > self.indent_within(width) {
                self.break_line(width);
            }
            for (c, style) in letters.by_ref().take(cluster.chars().count()) {
                self.write_char(c, style);
            }
            self.column += needed;
        }
    }

    /// The indentation of continued lines, which leaves room for text.
    fn indent_within(&self, width: usize) -> usize {
        self.indent.min(width / 2)
    }

    fn break_line(&mut self, width: usize) {
        self.begin_line();
        let indent = self.indent_within(width);
        self.out.extend(std::iter::repeat_n(' ', indent));
        self.column = indent;
    }

    fn write_spaces(&mut self) {
        for (c, style) in std::mem::take(&mut self.spaces) {
            self.write(c, style);
        }
    }

    fn write(&mut self, c: char, style: Style) {
        self.column += match c {
            '\t' => TAB - self.column % TAB,
            c => c.width().unwrap_or(0),
        };
        self.write_char(c, style);
    }

    fn write_char(&mut self, c: char, style: Style) {
        self.set_style(style);
        self.out.push(c);
    }

    fn set_style(&mut self, style: Style) {
        if style == self.style {
            return;
        }
        if self.style != Style::default() {
            self.out.push_str(RESET);
        }
        self.out.extend(style.begin());
        self.style = style;
    }
}

/// Columns that characters take.
fn columns(word: &[(char, Style)]) -> usize {
    let text: String = word.iter().map(|(c, _)| c).collect();
    text.width()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(text: &str, width: usize) -> String {
        let mut wrap = Wrap::new(Some(width));
        for c in text.chars() {
            wrap.push(c, Style::default());
        }
        wrap.finish();
        wrap.take()
    }

    #[test]
    fn lines_break_between_words() {
        assert_eq!(
            wrapped("the quick brown fox", 10),
            "the quick\nbrown fox",
            "at the width"
        );
        assert_eq!(wrapped("aaaa bbbbb c", 10), "aaaa bbbbb\nc");
        assert_eq!(wrapped("one\n  two\n\nthree ", 10), "one\n  two\n\nthree");
        assert_eq!(wrapped("abcdefghijkl mn", 5), "abcde\nfghij\nkl mn");
        assert_eq!(wrapped("", 5), "");
        let mut wrap = Wrap::new(None);
        for c in "no width, no break".chars() {
            wrap.push(c, Style::default());
        }
        wrap.finish();
        assert_eq!(wrap.take(), "no width, no break");
    }

    #[test]
    fn wide_characters_take_two_columns() {
        assert_eq!(wrapped("漢字漢字漢字", 5), "漢字\n漢字\n漢字");
        assert_eq!(
            wrapped("漢字。漢字", 4),
            "漢\n字。\n漢字",
            "no full stop begins a line"
        );
        assert_eq!(wrapped("ab 漢字", 5), "ab 漢\n字");
        // A family is one character of two columns, however many code points it has.
        let family = "👩‍👩‍👧";
        assert_eq!(
            wrapped(&format!("{family}{family}{family}"), 5),
            format!("{family}{family}\n{family}")
        );
        assert_eq!(
            wrapped("e\u{301}e\u{301}e\u{301}", 2),
            "e\u{301}e\u{301}\ne\u{301}"
        );
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let text = "Wide 漢字かな、and 👩‍🚀 emoji 🇫🇷 mixed with supercalifragilistic words. \
                    Zwölf Boxkämpfer jagen Viktor.";
        for width in 2..60 {
            for line in wrapped(text, width).lines() {
                assert!(line.width() <= width.max(2), "{width}: {line:?}");
            }
            let plain = |text: &str| text.replace([' ', '\n'], "");
            assert_eq!(plain(&wrapped(text, width)), plain(text), "{width}");
        }
    }

    #[test]
    fn styles_end_with_the_line() {
        let mut wrap = Wrap::new(Some(3));
        for c in "ab cd".chars() {
            wrap.push(c, Style::BOLD);
        }
        wrap.finish();
        assert_eq!(wrap.take(), "\x1b[1mab\x1b[0m\n\x1b[1mcd\x1b[0m");
    }
}
