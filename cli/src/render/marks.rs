//! The marks of Markdown: what the beginning of a line means, and what a span is.

use super::Style;

/// The longest beginning of a line that is waited for, in characters.
pub const LONGEST_LEAD: usize = 40;

/// What the beginning of a line means.
pub enum Line {
    Undecided,
    /// Flowing text, whose continued lines are indented by so many columns.
    Text(usize),
    Heading,
    Bullet(usize),
    Table,
    Fence(String),
}

/// What the beginning of a line means, so far. `is_whole`: the line ends here.
pub fn line(lead: &str, is_whole: bool) -> Line {
    let text = lead.trim_start_matches(' ');
    let spaces = lead.len() - text.len();
    if lead.len() > LONGEST_LEAD {
        return Line::Text(0);
    }
    let Some(first) = text.chars().next() else {
        return Line::Undecided;
    };
    let run = text.chars().take_while(|&c| c == first).count();
    let rest = &text[run * first.len_utf8()..];
    let next = rest.chars().next();
    match first {
        '`' | '~' if run >= 3 && (next.is_some() || is_whole) => Line::Fence(text[..run].into()),
        '`' | '~' if next.is_none() => Line::Undecided,
        '#' if run <= 6 && next == Some(' ') => Line::Heading,
        '#' if run <= 6 && next.is_none() => Line::Undecided,
        '-' | '*' | '+' if run == 1 && next == Some(' ') => Line::Bullet(spaces),
        '-' | '*' | '+' if next.is_none() && run < 3 => Line::Undecided,
        '|' => Line::Table,
        '0'..='9' => {
            let digits = text.trim_start_matches(|c: char| c.is_ascii_digit());
            let count = text.len() - digits.len();
            match digits.as_bytes() {
                _ if count > 9 => Line::Text(0),
                [] | [b'.' | b')'] => Line::Undecided,
                [b'.' | b')', b' ', ..] => Line::Text(spaces + count + 2),
                _ => Line::Text(0),
            }
        }
        _ => Line::Text(spaces),
    }
}

/// What a text that begins with a mark is.
pub enum Span<'a> {
    /// It may become one.
    Open,
    /// One, with this inside.
    Closed(&'a str, Style),
    /// None.
    None,
}

/// What a text that begins with a mark is, so far.
pub fn span(held: &str) -> Span<'_> {
    if held.starts_with('`') {
        let ticks = held.bytes().take_while(|&byte| byte == b'`').count();
        let inner = &held[ticks..];
        return match inner.strip_suffix(&held[..ticks]) {
            Some(inner) if !inner.is_empty() && !inner.ends_with('`') => {
                Span::Closed(inner.trim_matches(' '), Style::CODE)
            }
            _ => Span::Open,
        };
    }
    match held.strip_prefix("**") {
        None if held == "*" => Span::Open,
        Some("") => Span::Open,
        // A space behind the mark, or a rule.
        Some(inner) if inner.starts_with([' ', '*']) => Span::None,
        Some(inner) => match inner.strip_suffix("**") {
            Some(inner) if !inner.ends_with(' ') => Span::Closed(inner, Style::BOLD),
            _ => Span::Open,
        },
        None => Span::None,
    }
}
