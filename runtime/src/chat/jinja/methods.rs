//! Methods of Python's strings, lists and dictionaries.

use std::collections::HashSet;

use super::budget::STEPS_PER_PART;
use super::call::{Call, text, width};
use super::error::Error;
use super::interpreter::Interpreter;
use super::methods_is::holds;
use super::methods_split::split_lines;
use super::text::{capitalize, escape_html, is_line_end, is_space, title};
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
}

/// Arguments that have no names, of which the first `required` must be there.
pub(super) fn positional<const N: usize>(
    call: Call,
    name: &str,
    required: usize,
) -> Result<[Option<Value>; N], Error> {
    if !call.keywords.is_empty() {
        return Err(Error::failed(format!("`{name}` takes no named arguments")));
    }
    call.bind_required(name, [""; N], required)
}
