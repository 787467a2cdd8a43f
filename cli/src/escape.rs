//! Text from outside, made harmless for a terminal.
//!
//! A terminal obeys control characters: they move the cursor, change its title, answer in the
//! place of the keyboard. Text from a model, a file or a server must not contain them when it
//! reaches a terminal. They are shown by their code instead, as Rust writes it: `\u{1b}`.
//! Each character is replaced on its own, so that a sequence is harmless wherever it is split.

use std::borrow::Cow;

/// Whether a terminal obeys the character: C0, DEL and C1, but line feed and tab.
fn steers(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\t')
}

/// Whether the character changes the direction of the text around it, so that a name reads as
/// another one.
fn reorders(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}'
            | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text with the characters that `is_shown` picks replaced by their codes.
fn replaced(text: &str, is_shown: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_shown) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_shown(c) {
            out.extend(c.escape_default())
        } else {
            out.push(c)
        }
    }
    out.into()
}

/// A name or a value from outside, for the inside of a line: control characters, line feeds among
/// them, and characters that change the direction of text are shown by their codes.
pub fn shown(text: &str) -> String {
    replaced(text, |c| c.is_control() || reorders(c)).into_owned()
}

/// A message of several lines: as [`shown`], but line feeds and tabs stay.
pub fn message(text: &str) -> Cow<'_, str> {
    replaced(text, |c| steers(c) || reorders(c))
}

/// A line that a person edits: what a terminal obeys is left out, since editors count columns.
pub fn edited(text: &str) -> Cow<'_, str> {
    if text.contains(steers) {
        text.replace(steers, "").into()
    } else {
        text.into()
    }
}

/// JSON with the characters escaped that `serde_json` leaves and a terminal obeys. Outside of
/// strings JSON has none of them.
pub fn json(text: &str) -> Cow<'_, str> {
    if !text.contains(|c: char| c.is_control() || reorders(c)) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' | '\t' => out.push(c),
            c if c.is_control() || reorders(c) => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.into()
}

/// Generated text on its way to a terminal, piece by piece. Characters that change the direction
/// of text stay: languages need them.
#[derive(Debug, Default)]
pub struct Stream {
    /// The last piece ended with a carriage return, which is dropped before a line feed.
    has_return: bool,
}

impl Stream {
    /// The piece as the terminal may have it.
    pub fn push(&mut self, piece: &str) -> String {
        let mut text = String::with_capacity(piece.len() + 1);
        if std::mem::take(&mut self.has_return) {
            text.push('\r');
        }
        text.push_str(piece);
        if text.ends_with('\r') {
            text.pop();
            self.has_return = true;
        }
        replaced(&text.replace("\r\n", "\n"), steers).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All characters that may not pass.
    fn steering() -> impl Iterator<Item = char> {
        (0..=0x9f)
            .filter_map(char::from_u32)
            .filter(|c| c.is_control() && *c != '\n' && *c != '\t')
    }

    const BIDI: &str = "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\
        \u{2066}\u{2067}\u{2068}\u{2069}";

    #[test]
    fn control_characters_are_shown_by_their_codes() {
        assert_eq!(steering().count(), 63);
        for c in steering() {
            let text = format!("a{c}b");
            for clean in [shown(&text).into(), message(&text), edited(&text)] {
                assert!(!clean.contains(|c: char| c.is_control()), "{clean:?}");
                assert!(clean.starts_with('a') && clean.ends_with('b'), "{clean:?}");
            }
        }
        assert_eq!(
            shown("\u{1b}]0;x\u{7}\u{9b}2J\r\n\t\u{8}"),
            r"\u{1b}]0;x\u{7}\u{9b}2J\r\n\t\u{8}"
        );
        assert_eq!(message("a\tb\n\u{9b}"), "a\tb\n\\u{9b}");
        assert_eq!(shown("äöü 漢字 👩‍🚀 שלום"), "äöü 漢字 👩‍🚀 שלום");
    }

    #[test]
    fn characters_that_turn_text_are_shown_in_names_and_stay_in_answers() {
        assert_eq!(shown("a\u{202e}b"), "a\\u{202e}b");
        for c in BIDI.chars() {
            assert!(!shown(&c.to_string()).contains(c) && !message(&c.to_string()).contains(c));
        }
        assert_eq!(Stream::default().push(BIDI), BIDI);
    }

    #[test]
    fn json_stays_the_same_value() {
        let all: String = (0..0x100)
            .filter_map(char::from_u32)
            .chain(BIDI.chars())
            .collect();
        let text = serde_json::to_string(&all).expect("JSON");
        let clean = json(&text);
        assert!(
            !clean.contains(|c: char| steers(c) || reorders(c)),
            "{clean:?}"
        );
        assert_eq!(serde_json::from_str::<String>(&clean).ok(), Some(all));
    }

    #[test]
    fn sequences_are_harmless_wherever_they_are_split() {
        let text = "x\u{1b}]0;title\u{7}\r\ny\u{9b}2J\rz\r";
        for at in (0..text.len()).filter(|&at| text.is_char_boundary(at)) {
            let mut stream = Stream::default();
            let out = stream.push(&text[..at]) + &stream.push(&text[at..]) + &stream.push("\n");
            assert_eq!(out, "x\\u{1b}]0;title\\u{7}\ny\\u{9b}2J\\rz\n");
        }
    }
}
