//! Splits a template into text and tokens, with jinja2's whitespace rules.
//!
//! `trim_blocks` and `lstrip_blocks` are on, as transformers sets them; line ends become `\n`, and
//! one line end at the end of the template is dropped.

use std::sync::Arc;

use super::error::Error;
use super::text::is_space;

/// A token and the line it starts on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub kind: Kind,
    pub line: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// Text outside of tags.
    Data(Arc<str>),
    VariableBegin,
    VariableEnd,
    BlockBegin,
    BlockEnd,
    Name(Arc<str>),
    Str(Arc<str>),
    Int(i128),
    Float(f64),
    Operator(&'static str),
    End,
}

/// Longer operators stand before their prefixes.
const OPERATORS: [&str; 26] = [
    "**", "//", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}",
    ">", "<", "=", ".", ":", "|", ",", ";",
];

/// The tokens of a template, with [`Kind::End`] as the last.
pub(super) fn tokenize(source: &str) -> Result<Vec<Token>, Error> {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let source = source.strip_suffix('\n').unwrap_or(&source);
    let mut lexer = Lexer {
        source,
        at: 0,
        line: 1,
        line_starting: true,
        tokens: Vec::new(),
    };
    lexer.run()?;
    Ok(lexer.tokens)
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
    line: u32,
    /// Whether the last match ended with a line end.
    line_starting: bool,
    tokens: Vec<Token>,
}

impl<'a> Lexer<'a> {
    fn run(&mut self) -> Result<(), Error> {
        loop {
            let rest = self.rest();
            let Some(offset) = next_tag(rest) else {
                self.data(rest);
                self.advance(rest.len());
                break;
            };
            let text = &rest[..offset];
            let tag = &rest[offset..offset + 2];
            let sign = rest[offset + 2..]
                .chars()
                .next()
                .filter(|&c| c == '-' || c == '+');
            let raw = if tag == "{%" {
                raw_begin(&rest[offset..])
            } else {
                None
            };
            let stripped = match sign {
                Some('-') => text.trim_end_matches(is_space),
                Some(_) => text,
                None if tag == "{{" => text,
                None => self.strip_line(text),
            };
            self.data(stripped);
            if let Some(length) = raw {
                self.advance(offset + length);
                self.line_starting = self.source[..self.at].ends_with('\n');
                self.raw()?;
                continue;
            }
            self.advance(offset + 2 + usize::from(sign.is_some()));
            self.line_starting = false;
            match tag {
                "{#" => self.comment()?,
                "{%" => self.tag(Kind::BlockBegin, Kind::BlockEnd)?,
                _ => self.tag(Kind::VariableBegin, Kind::VariableEnd)?,
            }
        }
        self.push(Kind::End);
        Ok(())
    }

    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn advance(&mut self, bytes: usize) {
        let passed = &self.source[self.at..self.at + bytes];
        self.line += passed.bytes().filter(|&b| b == b'\n').count() as u32;
        self.at += bytes;
    }

    fn push(&mut self, kind: Kind) {
        self.tokens.push(Token {
            kind,
            line: self.line,
        });
    }

    fn data(&mut self, text: &str) {
        if !text.is_empty() {
            self.push(Kind::Data(text.into()));
        }
    }

    fn error(&self, message: impl Into<String>) -> Error {
        Error::syntax(message, self.line)
    }

    /// `lstrip_blocks`: spaces between the start of a line and a block or comment are dropped.
    fn strip_line<'t>(&self, text: &'t str) -> &'t str {
        let start = text.rfind('\n').map_or(0, |at| at + 1);
        if (start > 0 || self.line_starting) && text[start..].chars().all(is_space) {
            &text[..start]
        } else {
            text
        }
    }

    /// The length of a tag's end here, with the whitespace that it takes along.
    fn end_length(&self, close: &str, trims: bool) -> Option<usize> {
        let rest = self.rest();
        if let Some(after) = rest
            .strip_prefix('-')
            .and_then(|rest| rest.strip_prefix(close))
        {
            let kept = after.trim_start_matches(is_space);
            return Some(rest.len() - kept.len());
        }
        if trims
            && rest
                .strip_prefix('+')
                .is_some_and(|rest| rest.starts_with(close))
        {
            return Some(1 + close.len());
        }
        let after = rest.strip_prefix(close)?;
        Some(close.len() + usize::from(trims && after.starts_with('\n')))
    }

    fn end(&mut self, length: usize) {
        self.advance(length);
        self.line_starting = self.source[..self.at].ends_with('\n');
    }

    fn comment(&mut self) -> Result<(), Error> {
        let Some(found) = self.rest().find("#}") else {
            return Err(self.error("a comment has no end"));
        };
        let signed = self.rest()[..found].ends_with(['-', '+']);
        self.advance(found - usize::from(signed));
        let length = self.end_length("#}", true).unwrap_or(2);
        self.end(length);
        Ok(())
    }

    /// Text up to `{% endraw %}`.
    fn raw(&mut self) -> Result<(), Error> {
        let rest = self.rest();
        let mut from = 0;
        while let Some(found) = rest[from..].find("{%").map(|at| from + at) {
            let inside = &rest[found + 2..];
            let sign = inside.chars().next().filter(|&c| c == '-' || c == '+');
            let word = inside[usize::from(sign.is_some())..].trim_start_matches(is_space);
            if let Some(after) = word.strip_prefix("endraw") {
                let close = after.trim_start_matches(is_space);
                let start = rest.len() - close.len();
                let ends =
                    close.starts_with("%}") || close.starts_with("-%}") || close.starts_with("+%}");
                if ends {
                    let text = &rest[..found];
                    let text = match sign {
                        Some('-') => text.trim_end_matches(is_space),
                        Some(_) => text,
                        None => self.strip_line(text),
                    };
                    self.data(text);
                    self.advance(start);
                    let length = self.end_length("%}", true).unwrap_or(2);
                    self.end(length);
                    return Ok(());
                }
            }
            from = found + 2;
        }
        Err(self.error("`raw` has no `endraw`"))
    }

    fn tag(&mut self, begin: Kind, end: Kind) -> Result<(), Error> {
        let (close, trims) = if end == Kind::BlockEnd {
            ("%}", true)
        } else {
            ("}}", false)
        };
        self.push(begin);
        let mut open: Vec<char> = Vec::new();
        loop {
            if open.is_empty()
                && let Some(length) = self.end_length(close, trims)
            {
                self.push(end);
                self.end(length);
                return Ok(());
            }
            let rest = self.rest();
            let Some(first) = rest.chars().next() else {
                return Err(self.error(format!("a tag has no `{close}`")));
            };
            if is_space(first) {
                let length = rest.len() - rest.trim_start_matches(is_space).len();
                self.advance(length);
            } else if first.is_ascii_digit() {
                self.number()?;
            } else if first.is_alphabetic() || first == '_' {
                let length = rest
                    .find(|c: char| !(c.is_alphanumeric() || c == '_'))
                    .unwrap_or(rest.len());
                self.push(Kind::Name(rest[..length].into()));
                self.advance(length);
            } else if first == '"' || first == '\'' {
                self.string(first)?;
            } else {
                self.operator(&mut open)?;
            }
        }
    }

    fn operator(&mut self, open: &mut Vec<char>) -> Result<(), Error> {
        let rest = self.rest();
        let Some(operator) = OPERATORS.into_iter().find(|o| rest.starts_with(o)) else {
            let first = rest.chars().next().unwrap_or_default();
            return Err(self.error(format!("unexpected character {first:?}")));
        };
        match operator {
            "(" => open.push(')'),
            "[" => open.push(']'),
            "{" => open.push('}'),
            ")" | "]" | "}" if open.pop() != operator.chars().next() => {
                return Err(self.error(format!("unexpected `{operator}`")));
            }
            _ => {}
        }
        self.push(Kind::Operator(operator));
        self.advance(operator.len());
        Ok(())
    }

    fn string(&mut self, quote: char) -> Result<(), Error> {
        let rest = self.rest();
        let mut escaped = false;
        for (at, character) in rest.char_indices().skip(1) {
            match character {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                _ if character == quote => {
                    let text = unescape(&rest[1..at])
                        .ok_or_else(|| self.error("a string has a bad escape"))?;
                    self.push(Kind::Str(text.into()));
                    self.advance(at + 1);
                    return Ok(());
                }
                _ => {}
            }
        }
        Err(self.error("a string has no end"))
    }

    fn number(&mut self) -> Result<(), Error> {
        let rest = self.rest();
        let after_dot = self.source[..self.at].ends_with('.');
        if let Some(length) = float_length(rest).filter(|_| !after_dot) {
            let number = rest[..length].replace('_', "").parse();
            self.push(Kind::Float(
                number.map_err(|_| self.error("a number is not valid"))?,
            ));
            self.advance(length);
            return Ok(());
        }
        let radix = match rest.get(..2).map(str::to_ascii_lowercase).as_deref() {
            Some("0x") => 16,
            Some("0o") => 8,
            Some("0b") => 2,
            _ => 10,
        };
        let prefix = if radix == 10 { 0 } else { 2 };
        let mut length = prefix + digits_length(&rest[prefix..], radix);
        // Decimal numbers begin with a zero only where all digits are zeros.
        if radix == 10 && rest.starts_with('0') {
            length = rest[..length]
                .find(|c| c != '0' && c != '_')
                .unwrap_or(length);
        }
        if length == prefix {
            length = 1;
        }
        let digits = rest[prefix.min(length)..length].replace('_', "");
        let digits = if digits.is_empty() { "0" } else { &digits };
        let number = i128::from_str_radix(digits, radix);
        self.push(Kind::Int(
            number.map_err(|_| self.error("a number is too large"))?,
        ));
        self.advance(length);
        Ok(())
    }
}

/// Where the next tag begins.
fn next_tag(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut from = 0;
    loop {
        let at = from + bytes[from..].iter().position(|&b| b == b'{')?;
        if bytes.get(at + 1).is_some_and(|b| b"{%#".contains(b)) {
            return Some(at);
        }
        from = at + 1;
    }
}

/// The length of `{% raw %}`, if the text starts with it.
fn raw_begin(text: &str) -> Option<usize> {
    let inside = text.strip_prefix("{%")?;
    let inside = inside.strip_prefix(['-', '+']).unwrap_or(inside);
    let after = inside
        .trim_start_matches(is_space)
        .strip_prefix("raw")?
        .trim_start_matches(is_space);
    let rest = match after.strip_prefix("-%}") {
        Some(rest) => rest.trim_start_matches(is_space),
        None => after.strip_prefix("%}")?,
    };
    Some(text.len() - rest.len())
}

/// Digits with single underscores between them.
fn digits_length(text: &str, radix: u32) -> usize {
    let mut length = 0;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let next_is_digit = characters.peek().is_some_and(|c| c.is_digit(radix));
        if !(character.is_digit(radix) || character == '_' && next_is_digit) {
            break;
        }
        length += 1;
    }
    length
}

fn float_length(text: &str) -> Option<usize> {
    let whole = digits_length(text, 10);
    let mut length = whole;
    if let Some(fraction) = text[length..].strip_prefix('.') {
        let digits = if fraction.starts_with('_') {
            0
        } else {
            digits_length(fraction, 10)
        };
        if digits > 0 {
            length += 1 + digits;
        }
    }
    if let Some(exponent) = text[length..].strip_prefix(['e', 'E']) {
        let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        let digits = if unsigned.starts_with('_') {
            0
        } else {
            digits_length(unsigned, 10)
        };
        if digits > 0 {
            length += 1 + (exponent.len() - unsigned.len()) + digits;
        }
    }
    (length > whole).then_some(length)
}

/// Python's escapes in a string literal. An unknown one stays as it is.
fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        let escape = rest.next()?;
        let mut hex = |digits: usize| {
            let text: String = rest.by_ref().take(digits).collect();
            let valid = text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit());
            valid
                .then(|| u32::from_str_radix(&text, 16).ok())
                .flatten()
                .and_then(char::from_u32)
        };
        match escape {
            '\n' => {}
            '\\' | '\'' | '"' => out.push(escape),
            'a' => out.push('\x07'),
            'b' => out.push('\x08'),
            'f' => out.push('\x0c'),
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'v' => out.push('\x0b'),
            'x' => out.push(hex(2)?),
            'u' => out.push(hex(4)?),
            'U' => out.push(hex(8)?),
            'N' => return None,
            '0'..='7' => {
                let mut value = escape.to_digit(8)?;
                for _ in 0..2 {
                    let Some(digit) = rest.clone().next().and_then(|c| c.to_digit(8)) else {
                        break;
                    };
                    value = value * 8 + digit;
                    rest.next();
                }
                out.push(char::from_u32(value)?);
            }
            other => out.extend(['\\', other]),
        }
    }
    Some(out)
}
