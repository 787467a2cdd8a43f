//! Splits a template into text and tokens, with jinja2's whitespace rules.
//!
//! `trim_blocks` and `lstrip_blocks` are on, as transformers sets them; line ends become `\n`, and
//! one line end at the end of the template is dropped.

mod literals;

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
