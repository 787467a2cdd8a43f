//! Strings and numbers.

use super::{Kind, Lexer};
use crate::chat::jinja::error::Error;

impl Lexer<'_> {
    pub(super) fn string(&mut self, quote: char) -> Result<(), Error> {
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

    pub(super) fn number(&mut self) -> Result<(), Error> {
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
