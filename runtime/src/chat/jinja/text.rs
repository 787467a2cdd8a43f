//! Python's view of characters, numbers and strings as text.

/// The longest name that a message quotes.
const MAX_SHOWN: usize = 64;

/// A name as messages quote it: its beginning, where it is long.
pub(super) fn shown(name: &str) -> String {
    match name.len() > MAX_SHOWN {
        true => format!("{}…", &name[..name.floor_char_boundary(MAX_SHOWN)]),
        false => name.into(),
    }
}

/// The text, or its first `most` bytes and an ellipsis.
pub(super) fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
        text.push('…');
        text.shrink_to_fit();
    }
    text
}

/// Python's `str.isspace` for one character.
pub(super) fn is_space(character: char) -> bool {
    character.is_whitespace() || ('\x1c'..='\x1f').contains(&character)
}

/// A line boundary of Python's `str.splitlines`.
pub(super) fn is_line_end(character: char) -> bool {
    matches!(character, '\n'..='\r' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Python's `repr` of a string.
pub(super) fn write_repr(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    out.push(quote);
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => out.extend(['\\', c]),
            c if is_printable(c) => out.push(c),
            c => out.push_str(&match u32::from(c) {
                code @ 0..=0xFF => format!("\\x{code:02x}"),
                code @ 0x100..=0xFFFF => format!("\\u{code:04x}"),
                code => format!("\\U{code:08x}"),
            }),
        }
    }
    out.push(quote);
}

/// Python's `str.isprintable` for one character: what Rust's `Debug` leaves as it is.
pub(super) fn is_printable(character: char) -> bool {
    if character.is_ascii() {
        return matches!(character, ' '..='~');
    }
    if character.is_control() {
        return false;
    }
    !is_space(character) && character.escape_debug().count() == 1 || is_mark(character)
}

/// Combining marks: `Debug` escapes those of `Grapheme_Extend`, Python does not.
fn is_mark(character: char) -> bool {
    let escaped: String = character.escape_debug().collect();
    let is_extend = format!("{:?}", format!("a{character}")).contains(character);
    escaped.starts_with("\\u") && is_extend
}

/// Python's `repr` of a float: the shortest digits that read back as the same number.
pub(super) fn float_repr(number: f64) -> String {
    if number.is_nan() {
        return "nan".into();
    }
    if number.is_infinite() {
        return if number > 0.0 {
            "inf".into()
        } else {
            "-inf".into()
        };
    }
    let scientific = format!("{number:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if number != 0.0 && !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    let plain = format!("{number}");
    if plain.contains('.') {
        plain
    } else {
        format!("{plain}.0")
    }
}

/// Python's `int(text, radix)`.
pub(super) fn parse_int(text: &str, radix: u32) -> Option<i128> {
    let text = text.trim_matches(is_space);
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let prefixed = [("0x", 16), ("0o", 8), ("0b", 2)]
        .into_iter()
        .find_map(|(prefix, of)| {
            let rest = lower
                .strip_prefix(prefix)
                .filter(|_| radix == of || radix == 0)?;
            Some((rest.strip_prefix('_').unwrap_or(rest).to_owned(), of))
        });
    let (digits, radix) = prefixed.unwrap_or((lower, if radix == 0 { 10 } else { radix }));
    if !well_placed_underscores(&digits) || !(2..=36).contains(&radix) {
        return None;
    }
    let digits = digits.replace('_', "");
    if !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    let number = i128::from_str_radix(&digits, radix).ok()?;
    Some(if negative { -number } else { number })
}

/// Python's `float(text)`.
pub(super) fn parse_float(text: &str) -> Option<f64> {
    let text = text.trim_matches(is_space);
    let unsigned = text
        .strip_prefix(['+', '-'])
        .unwrap_or(text)
        .to_ascii_lowercase();
    if matches!(unsigned.as_str(), "inf" | "infinity" | "nan") {
        return text.parse().ok();
    }
    let valid = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned
            .chars()
            .all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | '+' | '-' | '_'));
    if !valid || unsigned.contains('_') && !well_placed_underscores(&unsigned) {
        return None;
    }
    text.replace('_', "").parse().ok()
}

fn well_placed_underscores(digits: &str) -> bool {
    let bytes = digits.as_bytes();
    let alphanumeric = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_alphanumeric);
    !digits.is_empty()
        && (0..bytes.len())
            .all(|at| bytes[at] != b'_' || at > 0 && alphanumeric(at - 1) && alphanumeric(at + 1))
}

/// Escapes a string for HTML as markupsafe does.
pub(super) fn escape_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&#39;"),
            '"' => out.push_str("&#34;"),
            other => out.push(other),
        }
    }
    out
}

/// Python's titlecase of one character: it differs from uppercase for a few letters.
pub(super) fn push_titlecase(out: &mut String, character: char) {
    match character {
        '\u{1C4}'..='\u{1C6}' => out.push('\u{1C5}'),
        '\u{1C7}'..='\u{1C9}' => out.push('\u{1C8}'),
        '\u{1CA}'..='\u{1CC}' => out.push('\u{1CB}'),
        '\u{1F1}'..='\u{1F3}' => out.push('\u{1F2}'),
        _ => {
            let mut upper = character.to_uppercase();
            out.extend(upper.next());
            out.extend(upper.flat_map(char::to_lowercase));
        }
    }
}

/// Python's `str.capitalize`.
pub(super) fn capitalize(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    if let Some(first) = characters.next() {
        push_titlecase(&mut out, first);
    }
    out.push_str(&characters.as_str().to_lowercase());
    out
}

/// Python's `str.title`: each run of cased letters begins with a titlecase letter.
pub(super) fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for character in text.chars() {
        if inside {
            out.extend(character.to_lowercase());
        } else {
            push_titlecase(&mut out, character);
        }
        inside = character.is_lowercase()
            || character.is_uppercase()
            || ('\u{1C5}'..='\u{1F2}').contains(&character);
    }
    out
}
