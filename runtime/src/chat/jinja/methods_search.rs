//! Methods of strings that look for a part: `find`, `count`, `startswith`, `replace` and the like.

use super::call::{Call, int, text};
use super::error::Error;
use super::interpreter::Interpreter;
use super::methods::positional;
use super::text::escape_html;
use super::value::{Text, Value};

impl Interpreter<'_> {
    pub fn starts_or_ends(&mut self, own: &str, name: &str, call: Call) -> Result<Value, Error> {
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

    pub fn find(&mut self, own: &str, name: &str, call: Call) -> Result<Value, Error> {
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

    pub fn replace(&mut self, this: &Text, call: Call) -> Result<Value, Error> {
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
}
