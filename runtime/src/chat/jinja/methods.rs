//! Methods of Python's strings, lists and dictionaries.

use std::collections::HashSet;

use super::budget::STEPS_PER_PART;
use super::call::{Call, int, text, width};
use super::error::Error;
use super::interpreter::Interpreter;
use super::text::{capitalize, escape_html, is_line_end, is_printable, is_space, title};
use super::value::{Callable, Text, Value};

const STRING: [&str; 43] = [
    "capitalize",
    "casefold",
    "center",
    "count",
    "endswith",
    "expandtabs",
    "find",
    "format",
    "format_map",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isdecimal",
    "isdigit",
    "isidentifier",
    "islower",
    "isnumeric",
    "isprintable",
    "isspace",
    "istitle",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "upper",
];

pub(super) fn exists(value: &Value, name: &str) -> bool {
    match value {
        Value::Str(_) => STRING.contains(&name) || name == "zfill",
        Value::Dict(_) => matches!(name, "get" | "items" | "keys" | "values" | "copy"),
        Value::List(_) => matches!(name, "count" | "index" | "copy"),
        Value::Tuple(_) | Value::Range(_) => matches!(name, "count" | "index"),
        Value::Loop(_) => matches!(name, "cycle" | "changed"),
        Value::Int(_) | Value::Bool(_) => matches!(name, "bit_length" | "conjugate"),
        Value::Float(_) => matches!(name, "is_integer" | "conjugate"),
        Value::Callable(callable) => matches!(
            (&**callable, name),
            (Callable::Cycler(..), "next" | "reset")
        ),
        _ => false,
    }
}

impl Interpreter<'_> {
    pub fn method(&mut self, value: &Value, name: &str, call: Call) -> Result<Value, Error> {
        match value {
            Value::Str(this) => self.string_method(this, name, call),
            Value::Dict(dict) => match name {
                "get" => {
                    let [key, default] = positional(call, name, 1)?;
                    let key = self.key(key.unwrap_or(Value::None))?;
                    Ok(dict
                        .items
                        .get(&key)
                        .cloned()
                        .or(default)
                        .unwrap_or(Value::None))
                }
                "keys" => {
                    call.none(name)?;
                    self.view(
                        dict.items.keys().map(|key| key.0.clone()).collect(),
                        "dict_keys",
                    )
                }
                "values" => {
                    call.none(name)?;
                    self.view(dict.items.values().cloned().collect(), "dict_values")
                }
                "items" => {
                    call.none(name)?;
                    let mut pairs = Vec::with_capacity(dict.items.len());
                    for (key, value) in &dict.items {
                        pairs.push(self.tuple(vec![key.0.clone(), value.clone()])?);
                    }
                    self.view(pairs, "dict_items")
                }
                _ => call.none(name).map(|()| value.clone()),
            },
            Value::List(_) | Value::Tuple(_) | Value::Range(_)
                if matches!(name, "count" | "index") =>
            {
                let [wanted] = positional(call, name, 1)?;
                let wanted = wanted.unwrap_or(Value::None);
                let mut found = Vec::new();
                for (at, item) in self.collect(value)?.iter().enumerate() {
                    if self.equal(item, &wanted)? {
                        found.push(at);
                    }
                }
                match (name, found.first()) {
                    ("count", _) => Ok(Value::Int(found.len() as i128)),
                    (_, Some(at)) => Ok(Value::Int(*at as i128)),
                    _ => Err(Error::failed("the value is not in the list")),
                }
            }
            Value::Loop(state) => self.loop_method(state, name, call),
            Value::Callable(callable) => match &**callable {
                Callable::Cycler(_, at) if name == "reset" => {
                    call.none(name)?;
                    at.set(0);
                    Ok(Value::None)
                }
                _ => self.call(value, call),
            },
            Value::Float(number) if name == "is_integer" => {
                call.none(name).map(|()| Value::Bool(number.fract() == 0.0))
            }
            Value::Int(_) | Value::Bool(_) if name == "bit_length" => {
                call.none(name)?;
                let magnitude = value.as_int().unwrap_or(0).unsigned_abs();
                Ok(Value::Int(i128::from(
                    u128::BITS - magnitude.leading_zeros(),
                )))
            }
            Value::Bool(truth) => call.none(name).map(|()| Value::Int(i128::from(*truth))),
            _ => call.none(name).map(|()| value.clone()),
        }
    }

    fn string_method(&mut self, this: &Text, name: &str, call: Call) -> Result<Value, Error> {
        let own = &*this.text;
        let result = |text: String| Ok(Value::text(text, this.safe));
        // Each method reads its string once, and most make one of its size.
        self.charge_bytes(own.len())?;
        match name {
            "upper" => call.none(name).and_then(|()| result(own.to_uppercase())),
            "lower" => call.none(name).and_then(|()| result(own.to_lowercase())),
            "casefold" => call
                .none(name)
                .and_then(|()| result(own.to_lowercase().replace('ß', "ss"))),
            "title" => call.none(name).and_then(|()| result(title(own))),
            "capitalize" => call.none(name).and_then(|()| result(capitalize(own))),
            "swapcase" => {
                call.none(name)?;
                let mut out = String::with_capacity(own.len());
                for character in own.chars() {
                    if character.is_uppercase() {
                        out.extend(character.to_lowercase());
                    } else {
                        out.extend(character.to_uppercase());
                    }
                }
                result(out)
            }
            "strip" | "lstrip" | "rstrip" => {
                let [characters] = positional(call, name, 0)?;
                let characters = characters.filter(|value| !matches!(value, Value::None));
                let characters = characters.as_ref().map(text).transpose()?;
                let set: Option<HashSet<char>> = match characters {
                    Some(set) => {
                        // A set takes much longer than a copy.
                        self.charge(set.len())?;
                        Some(set.chars().collect())
                    }
                    None => None,
                };
                let matches = |c: char| {
                    set.as_ref()
                        .map_or_else(|| is_space(c), |set| set.contains(&c))
                };
                let mut out = own;
                if name != "rstrip" {
                    out = out.trim_start_matches(matches);
                }
                if name != "lstrip" {
                    out = out.trim_end_matches(matches);
                }
                Ok(if out.len() == own.len() {
                    Value::Str(this.clone())
                } else {
                    Value::text(out, this.safe)
                })
            }
            "startswith" | "endswith" => self.starts_or_ends(own, name, call),
            "removeprefix" | "removesuffix" => {
                let [part] = positional(call, name, 1)?;
                let part = part.unwrap_or(Value::None);
                let part = text(&part)?;
                let rest = if name == "removeprefix" {
                    own.strip_prefix(part)
                } else {
                    own.strip_suffix(part)
                };
                result(rest.unwrap_or(own).to_owned())
            }
            "replace" => self.replace(this, call),
            "split" | "rsplit" => self.split(this, name, call),
            "splitlines" => {
                let [keep_ends] = call.bind(name, ["keepends"])?;
                let keep_ends = keep_ends.is_some_and(|value| value.is_true());
                let lines = own.chars().filter(|c| is_line_end(*c)).count();
                self.charge(lines.saturating_mul(STEPS_PER_PART))?;
                let lines = split_lines(own, keep_ends).into_iter();
                self.list(lines.map(|line| Value::text(line, this.safe)).collect())
            }
            "partition" | "rpartition" => {
                let [separator] = positional(call, name, 1)?;
                let separator = separator.unwrap_or(Value::None);
                let separator = text(&separator)?;
                if separator.is_empty() {
                    return Err(Error::failed("empty separator"));
                }
                self.charge_search(own, separator)?;
                let at = if name == "partition" {
                    own.find(separator)
                } else {
                    own.rfind(separator)
                };
                let parts = match at {
                    Some(at) => [&own[..at], separator, &own[at + separator.len()..]],
                    None if name == "partition" => [own, "", ""],
                    None => ["", "", own],
                };
                self.tuple(
                    parts
                        .into_iter()
                        .map(|part| Value::text(part, this.safe))
                        .collect(),
                )
            }
            "find" | "rfind" | "index" | "rindex" | "count" => self.find(own, name, call),
            "join" => {
                let [parts] = positional(call, name, 1)?;
                let parts = self.collect(&parts.unwrap_or(Value::None))?;
                let mut out = String::new();
                for (index, part) in parts.iter().enumerate() {
                    let Value::Str(part) = part else {
                        return Err(Error::failed(format!(
                            "`join` needs strings, not '{}'",
                            part.type_name()
                        )));
                    };
                    let escape = if this.safe && !part.safe { 6 } else { 1 };
                    self.charge_bytes(own.len() + escape * part.text.len())?;
                    out.push_str(if index == 0 { "" } else { own });
                    if this.safe && !part.safe {
                        out.push_str(&escape_html(&part.text));
                    } else {
                        out.push_str(&part.text);
                    }
                }
                result(out)
            }
            "center" | "ljust" | "rjust" | "zfill" => self.pad(this, name, call),
            "expandtabs" => {
                let [size] = call.bind(name, ["tabsize"])?;
                let size = size.as_ref().map_or(Ok(8), width)?;
                self.expand_tabs(own, size).and_then(result)
            }
            "format" => Ok(Value::text(self.brace_format(own, call)?, this.safe)),
            "format_map" => {
                let [mapping] = positional(call, name, 1)?;
                let Some(Value::Dict(mapping)) = mapping else {
                    return Err(Error::failed("`format_map` needs a dictionary"));
                };
                let mut call = Call::default();
                for (key, value) in &mapping.items {
                    self.charge(1)?;
                    call.keywords.push((self.stringify(&key.0)?, value.clone()));
                }
                Ok(Value::text(self.brace_format(own, call)?, this.safe))
            }
            _ => call.none(name).map(|()| Value::Bool(holds(own, name))),
        }
    }

    fn starts_or_ends(&mut self, own: &str, name: &str, call: Call) -> Result<Value, Error> {
        let [part, start, stop] = positional(call, name, 1)?;
        let part = part.unwrap_or(Value::None);
        let Some((_, own)) = self.part_of(own, start, stop)? else {
            return Ok(Value::Bool(false));
        };
        let found = |part: &str| {
            if name == "startswith" {
                own.starts_with(part)
            } else {
                own.ends_with(part)
            }
        };
        match &part {
            Value::Tuple(parts) => {
                for part in &parts.items {
                    let part = text(part)?;
                    self.charge_bytes(part.len())?;
                    if found(part) {
                        return Ok(Value::Bool(true));
                    }
                }
                Ok(Value::Bool(false))
            }
            part => Ok(Value::Bool(found(text(part)?))),
        }
    }

    /// The part between two indexes, and the characters before it; `None` where it begins beyond
    /// the end.
    fn part_of<'t>(
        &mut self,
        own: &'t str,
        start: Option<Value>,
        stop: Option<Value>,
    ) -> Result<Option<(usize, &'t str)>, Error> {
        if start.is_none() && stop.is_none() {
            return Ok(Some((0, own)));
        }
        let length = own.chars().count() as i128;
        let place = |value: Option<Value>, default: i128| match value {
            None | Some(Value::None) => Ok(default),
            Some(value) => int(&value).map(|at| {
                if at < 0 {
                    at.saturating_add(length).max(0)
                } else {
                    at
                }
            }),
        };
        let start = place(start, 0)?;
        let stop = place(stop, length)?.min(length);
        if start > stop {
            return Ok(None);
        }
        let byte = |at: i128| {
            own.char_indices()
                .nth(at as usize)
                .map_or(own.len(), |(byte, _)| byte)
        };
        Ok(Some((start as usize, &own[byte(start)..byte(stop)])))
    }

    fn find(&mut self, own: &str, name: &str, call: Call) -> Result<Value, Error> {
        let [part, start, stop] = positional(call, name, 1)?;
        let part = part.unwrap_or(Value::None);
        let part = text(&part)?;
        self.charge_search(own, part)?;
        let Some((before, own)) = self.part_of(own, start, stop)? else {
            return match name {
                "count" => Ok(Value::Int(0)),
                "find" | "rfind" => Ok(Value::Int(-1)),
                _ => Err(Error::failed("substring not found")),
            };
        };
        let found = match name {
            "count" if part.is_empty() => return Ok(Value::Int(own.chars().count() as i128 + 1)),
            "count" => return Ok(Value::Int(own.matches(part).count() as i128)),
            "find" | "index" => own.find(part),
            _ => own.rfind(part),
        };
        match found {
            Some(at) => Ok(Value::Int((before + own[..at].chars().count()) as i128)),
            None if name.ends_with("find") => Ok(Value::Int(-1)),
            None => Err(Error::failed("substring not found")),
        }
    }

    fn replace(&mut self, this: &Text, call: Call) -> Result<Value, Error> {
        let [old, new, count] = positional(call, "replace", 2)?;
        let (old, new) = (old.unwrap_or(Value::None), new.unwrap_or(Value::None));
        let count = count.as_ref().map_or(Ok(-1), int)?;
        let mut escaped = |value: &Value| {
            let part = text(value)?;
            self.charge_bytes(part.len().saturating_mul(6))?;
            let raw = this.safe && !matches!(value, Value::Str(part) if part.safe);
            Ok(if raw {
                escape_html(part)
            } else {
                part.to_owned()
            })
        };
        let (old, new) = (escaped(&old)?, escaped(&new)?);
        Ok(Value::text(
            self.replaced(&this.text, &old, &new, count)?,
            this.safe,
        ))
    }

    /// `count` replacements from the left, or all where it is negative.
    pub fn replaced(
        &mut self,
        own: &str,
        old: &str,
        new: &str,
        count: i128,
    ) -> Result<String, Error> {
        self.charge_search(own, old)?;
        let found = if old.is_empty() {
            own.chars().count() + 1
        } else {
            own.matches(old).count()
        };
        let count = usize::try_from(count).map_or(found, |count| count.min(found));
        self.charge_bytes(own.len().saturating_add(count.saturating_mul(new.len())))?;
        Ok(own.replacen(old, new, count))
    }

    fn split(&mut self, this: &Text, name: &str, call: Call) -> Result<Value, Error> {
        let [separator, limit] = call.bind(name, ["sep", "maxsplit"])?;
        let limit = limit.as_ref().map_or(Ok(-1), int)?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX - 1);
        let own = &*this.text;
        let from_left = name == "split";
        let parts: Vec<&str> = match separator {
            None | Some(Value::None) => {
                let words = own.split(is_space).filter(|word| !word.is_empty()).count();
                self.charge(
                    words
                        .min(limit.saturating_add(1))
                        .saturating_mul(STEPS_PER_PART),
                )?;
                split_spaces(own, limit, from_left)
            }
            Some(separator) => {
                let separator = text(&separator)?;
                if separator.is_empty() {
                    return Err(Error::failed("empty separator"));
                }
                self.charge_search(own, separator)?;
                let most = limit.saturating_add(1);
                let mut parts = Vec::new();
                if from_left {
                    for part in own.splitn(most, separator) {
                        self.charge(STEPS_PER_PART)?;
                        parts.push(part);
                    }
                } else {
                    for part in own.rsplitn(most, separator) {
                        self.charge(STEPS_PER_PART)?;
                        parts.push(part);
                    }
                    parts.reverse();
                }
                parts
            }
        };
        self.charge(parts.len())?;
        self.list(
            parts
                .into_iter()
                .map(|part| Value::text(part, this.safe))
                .collect(),
        )
    }

    fn pad(&mut self, this: &Text, name: &str, call: Call) -> Result<Value, Error> {
        let [wanted, fill] = positional(call, name, 1)?;
        let wanted = width(&wanted.unwrap_or(Value::None))?;
        let fill = fill.unwrap_or_else(|| Value::from(if name == "zfill" { "0" } else { " " }));
        let mut characters = text(&fill)?.chars();
        let (Some(fill), None) = (characters.next(), characters.next()) else {
            return Err(Error::failed("a fill must be one character"));
        };
        let own = &*this.text;
        let missing = wanted.saturating_sub(own.chars().count());
        self.charge_bytes(missing.saturating_mul(4))?;
        let left = match name {
            "ljust" => 0,
            "center" => missing / 2 + (missing & wanted & 1),
            _ => missing,
        };
        let pad = |count: usize| fill.to_string().repeat(count);
        let out = match own.strip_prefix(['-', '+']).filter(|_| name == "zfill") {
            Some(digits) => format!("{}{}{digits}", &own[..1], pad(left)),
            None => format!("{}{own}{}", pad(left), pad(missing - left)),
        };
        Ok(Value::text(out, this.safe))
    }

    fn expand_tabs(&mut self, own: &str, size: usize) -> Result<String, Error> {
        let mut out = String::with_capacity(own.len());
        let mut column = 0;
        for character in own.chars() {
            if character == '\t' {
                let count = size.saturating_sub(column % size.max(1));
                self.charge_bytes(count)?;
                out.extend(std::iter::repeat_n(' ', count));
                column = column.saturating_add(count);
                continue;
            }
            out.push(character);
            column = if matches!(character, '\n' | '\r') {
                0
            } else {
                column + 1
            };
        }
        Ok(out)
    }
}

/// Arguments that have no names, of which the first `required` must be there.
fn positional<const N: usize>(
    call: Call,
    name: &str,
    required: usize,
) -> Result<[Option<Value>; N], Error> {
    if !call.keywords.is_empty() {
        return Err(Error::failed(format!("`{name}` takes no named arguments")));
    }
    call.bind_required(name, [""; N], required)
}

pub(super) fn split_lines(text: &str, keep_ends: bool) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some((at, end)) = rest.char_indices().find(|(_, c)| is_line_end(*c)) {
        let length = if rest[at..].starts_with("\r\n") {
            2
        } else {
            end.len_utf8()
        };
        lines.push(&rest[..if keep_ends { at + length } else { at }]);
        rest = &rest[at + length..];
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}

/// Words between runs of spaces; after `limit` splits the rest stays whole.
fn split_spaces(text: &str, limit: usize, from_left: bool) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text.trim_matches(is_space);
    // The rest that is not split keeps the spaces at its far end.
    let mut whole = if from_left {
        text.trim_start_matches(is_space)
    } else {
        text.trim_end_matches(is_space)
    };
    while !rest.is_empty() {
        if parts.len() == limit {
            parts.push(whole);
            break;
        }
        let at = if from_left {
            rest.find(is_space)
        } else {
            rest.rfind(is_space)
        };
        let Some(at) = at else {
            parts.push(rest);
            break;
        };
        if from_left {
            parts.push(&rest[..at]);
            whole = whole[at..].trim_start_matches(is_space);
            rest = rest[at..].trim_start_matches(is_space);
        } else {
            let word = rest[at..].trim_start_matches(is_space);
            parts.push(word);
            rest = rest[..at].trim_end_matches(is_space);
            whole = whole[..whole.len() - word.len()].trim_end_matches(is_space);
        }
    }
    if !from_left {
        parts.reverse();
    }
    parts
}

/// Python's `str.is…` methods.
fn holds(text: &str, name: &str) -> bool {
    let all = |test: fn(char) -> bool| !text.is_empty() && text.chars().all(test);
    let cased = |c: char| c.is_lowercase() || c.is_uppercase();
    match name {
        "isalnum" => all(char::is_alphanumeric),
        "isalpha" => all(char::is_alphabetic),
        "isascii" => text.is_ascii(),
        "isdecimal" => all(|c| c.is_numeric() && is_decimal(c)),
        "isdigit" => all(|c| {
            c.is_numeric()
                && (is_decimal(c) || matches!(c, '²' | '³' | '¹' | '⁰'..='⁹' | '₀'..='₉'))
        }),
        "isnumeric" => all(char::is_numeric),
        "isspace" => all(is_space),
        "isprintable" => text.chars().all(is_printable),
        "islower" => text.chars().any(cased) && !text.chars().any(char::is_uppercase),
        "isupper" => text.chars().any(cased) && !text.chars().any(char::is_lowercase),
        "isidentifier" => {
            let starts = text.starts_with(|c: char| c.is_alphabetic() || c == '_');
            starts && text.chars().all(|c| c.is_alphanumeric() || c == '_')
        }
        // `istitle`
        _ => {
            let mut inside = false;
            let titled = text.chars().all(|c| {
                let fits = !cased(c) || c.is_uppercase() != inside;
                inside = cased(c);
                fits
            });
            titled && text.chars().any(cased)
        }
    }
}

/// Decimal digits of the scripts in use: each script has ten in a row.
fn is_decimal(character: char) -> bool {
    const ZEROS: [u32; 22] = [
        0x30, 0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66,
        0xDE6, 0xE50, 0xED0, 0xF20, 0x1040, 0x17E0, 0x1810, 0x19D0, 0xFF10,
    ];
    ZEROS
        .iter()
        .any(|zero| (*zero..zero + 10).contains(&u32::from(character)))
}
