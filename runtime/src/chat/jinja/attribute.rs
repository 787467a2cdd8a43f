//! Attributes, items and slices, by the rules of jinja2's sandbox.
//!
//! `value.name` looks for a method first and for an item after it, `value['name']` the other way
//! round: with a dictionary that has a key `items`, the two differ.

use std::rc::Rc;
use std::sync::Arc;

use super::call::{Call, int};
use super::error::Error;
use super::interpreter::Interpreter;
use super::iterate::Loop;
use super::methods;
use super::operate::too_large;
use super::text::shown;
use super::value::{Callable, Key, Value};

/// Methods that change what they belong to: they exist, and can't be used.
const LIST_CHANGES: [&str; 8] = [
    "append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove",
];
const DICT_CHANGES: [&str; 5] = ["clear", "pop", "popitem", "setdefault", "update"];

impl Interpreter<'_> {
    /// `value.name`.
    pub fn attribute(&mut self, value: &Value, name: &Arc<str>) -> Result<Value, Error> {
        value.defined()?;
        self.charge_bytes(name.len())?;
        if let Some(found) = self.own_attribute(value, name)? {
            return Ok(found);
        }
        let item = match value {
            Value::Dict(dict) => dict
                .items
                .get(&Key(Value::text(name.clone(), false)))
                .cloned(),
            _ => None,
        };
        match item {
            Some(item) => Ok(item),
            None => self.missing(value, name),
        }
    }

    /// The undefined value of an attribute that does not exist.
    pub fn missing(&mut self, value: &Value, name: &str) -> Result<Value, Error> {
        self.undefined(format!(
            "'{}' object has no attribute '{}'",
            value.type_name(),
            shown(name)
        ))
    }

    /// `value[key]`.
    pub fn item(&mut self, value: &Value, key: &Value) -> Result<Value, Error> {
        value.defined()?;
        let found = match value {
            Value::Dict(dict) => match key {
                Value::Str(name) => {
                    self.charge_bytes(name.text.len())?;
                    dict.items.get(&Key(key.clone())).cloned()
                }
                other => match self.key(other.clone()) {
                    Ok(key) => dict.items.get(&key).cloned(),
                    Err(error) if error.kind == super::error::Kind::Failed => None,
                    Err(error) => return Err(error),
                },
            },
            _ => match key.as_int() {
                Some(index) => self.indexed(value, index)?,
                None => None,
            },
        };
        if let Some(found) = found {
            return Ok(found);
        }
        if let Value::Str(name) = key
            && let Some(found) = self.own_attribute(value, &name.text)?
        {
            return Ok(found);
        }
        let mut shown = String::new();
        if key.extent().bytes < 64 {
            key.write_repr(&mut shown);
        }
        self.undefined(format!(
            "{} object has no element {shown}",
            value.type_name()
        ))
    }

    fn indexed(&mut self, value: &Value, index: i128) -> Result<Option<Value>, Error> {
        let at = |length: usize| {
            let index = if index < 0 {
                index + length as i128
            } else {
                index
            };
            usize::try_from(index).ok().filter(|index| *index < length)
        };
        Ok(match value {
            Value::List(items) | Value::Tuple(items) => {
                at(items.items.len()).map(|at| items.items[at].clone())
            }
            Value::Range(range) => at(range.length).map(|at| range.get(at)),
            Value::Str(text) => {
                let length = self.length(value)?;
                let character = at(length).and_then(|at| text.text.chars().nth(at));
                character.map(|c| Value::text(c.encode_utf8(&mut [0; 4]) as &str, text.safe))
            }
            _ => None,
        })
    }

    /// An attribute that the type itself has, as Python's `getattr` finds it.
    fn own_attribute(&mut self, value: &Value, name: &Arc<str>) -> Result<Option<Value>, Error> {
        let changes: &[&str] = match value {
            Value::List(_) => &LIST_CHANGES,
            Value::Dict(_) => &DICT_CHANGES,
            _ => &[],
        };
        if name.starts_with("__") && name.ends_with("__") || changes.contains(&&**name) {
            return self
                .undefined(format!("access to attribute '{}' is unsafe", shown(name)))
                .map(Some);
        }
        let found = match value {
            Value::Loop(state) => self.loop_attribute(state, name)?,
            Value::Namespace(namespace) => namespace.values.borrow().get(name).cloned(),
            Value::Int(_) | Value::Bool(_) => match &**name {
                "real" | "numerator" => value.as_int().map(Value::Int),
                "imag" => Some(Value::Int(0)),
                "denominator" => Some(Value::Int(1)),
                _ => None,
            },
            Value::Float(number) => match &**name {
                "real" => Some(Value::Float(*number)),
                "imag" => Some(Value::Float(0.0)),
                _ => None,
            },
            Value::Tuple(items) if items.items.len() == 2 => match &**name {
                // An item of `groupby`.
                "grouper" => Some(items.items[0].clone()),
                "list" => Some(items.items[1].clone()),
                _ => None,
            },
            Value::Callable(callable) => match (&**callable, &**name) {
                (Callable::Macro(definition, _), "name") => {
                    Some(Value::text(definition.name.clone(), false))
                }
                (Callable::Macro(definition, _), "arguments") => {
                    let names = definition
                        .parameters
                        .iter()
                        .map(|name| Value::text(name.clone(), false))
                        .collect();
                    Some(self.tuple(names)?)
                }
                (Callable::Macro(definition, _), "caller") => {
                    Some(Value::Bool(definition.uses.caller))
                }
                (Callable::Macro(definition, _), "catch_kwargs") => {
                    Some(Value::Bool(definition.uses.kwargs))
                }
                (Callable::Macro(definition, _), "catch_varargs") => {
                    Some(Value::Bool(definition.uses.varargs))
                }
                (Callable::Cycler(items, at), "current") => items.items.get(at.get()).cloned(),
                _ => None,
            },
            _ => None,
        };
        if found.is_some() || !methods::exists(value, name) {
            return Ok(found);
        }
        Ok(Some(Value::Callable(Rc::new(Callable::Method(
            value.clone(),
            name.clone(),
        )))))
    }

    fn loop_attribute(&mut self, state: &Rc<Loop>, name: &str) -> Result<Option<Value>, Error> {
        let number = |number: usize| Some(Value::Int(number as i128));
        let index = state.index.get();
        let whole = Value::Loop(state.clone());
        Ok(match name {
            "index" => number(index + 1),
            "index0" => number(index),
            "first" => Some(Value::Bool(index == 0)),
            "last" => Some(Value::Bool(self.peek_loop(state)?.is_none())),
            "length" => number(self.length(&whole)?),
            "revindex" => number(self.length(&whole)?.saturating_sub(index)),
            "revindex0" => number(self.length(&whole)?.saturating_sub(index + 1)),
            "depth" => number(state.depth + 1),
            "depth0" => number(state.depth),
            "previtem" => {
                let previous = state.previous.borrow().clone();
                Some(match previous {
                    Some(previous) => previous,
                    None => self.undefined("there is no previous item".into())?,
                })
            }
            "nextitem" => {
                let next = self.peek_loop(state)?;
                Some(match next {
                    Some(next) => next,
                    None => self.undefined("there is no next item".into())?,
                })
            }
            _ => None,
        })
    }

    /// Looks up `attribute='a.b.0'` of a filter. A default replaces an undefined value.
    pub fn attribute_path(
        &mut self,
        item: Value,
        attribute: &Value,
        default: Option<&Value>,
    ) -> Result<Value, Error> {
        let mut parts = Vec::new();
        match attribute {
            Value::None => {}
            Value::Str(path) => {
                self.charge_bytes(path.text.len())?;
                let to_key = |part: &str| {
                    let number = part
                        .bytes()
                        .all(|b| b.is_ascii_digit())
                        .then(|| part.parse().ok())
                        .flatten();
                    number.map_or_else(|| Value::from(part), Value::Int)
                };
                for part in path.text.split('.') {
                    self.charge(2)?;
                    parts.push(to_key(part));
                }
            }
            other => parts.push(other.clone()),
        }
        let mut item = item;
        for part in parts {
            item = self.item(&item, &part)?;
            if let (Some(default), Value::Undefined(_)) = (default, &item)
                && !matches!(default, Value::None)
            {
                item = default.clone();
            }
        }
        Ok(item)
    }

    /// `value[start:stop:step]`.
    pub fn slice(&mut self, value: &Value, parts: &[Value; 3]) -> Result<Value, Error> {
        value.defined()?;
        match value {
            Value::Str(text) => {
                let length = self.length(value)?;
                let (start, step, count) = bounds(parts, length)?;
                self.charge_bytes(text.text.len())?;
                let out: String = if step == 1 {
                    text.text.chars().skip(start).take(count).collect()
                } else {
                    let characters: Vec<char> = text.text.chars().collect();
                    (0..count)
                        .map(|at| characters[index(start, step, at)])
                        .collect()
                };
                Ok(Value::text(out, text.safe))
            }
            Value::List(items) | Value::Tuple(items) => {
                let (start, step, count) = bounds(parts, items.items.len())?;
                let chosen = (0..count)
                    .map(|at| items.items[index(start, step, at)].clone())
                    .collect();
                if matches!(value, Value::List(_)) {
                    self.list(chosen)
                } else {
                    self.tuple(chosen)
                }
            }
            Value::Range(range) => {
                let (start, step, count) = bounds(parts, range.length)?;
                let start = range
                    .step
                    .checked_mul(start as i128)
                    .and_then(|skipped| range.start.checked_add(skipped));
                let start = start.ok_or_else(too_large)?;
                let step = range.step.checked_mul(step);
                let step = step.ok_or_else(|| Error::failed("the step of a slice is too large"))?;
                Ok(Value::Range(super::value::Range {
                    start,
                    step,
                    length: count,
                }))
            }
            other => Err(Error::failed(format!(
                "'{}' object can't be sliced",
                other.type_name()
            ))),
        }
    }

    /// Calls a method of a loop or a cycler.
    pub fn loop_method(&mut self, state: &Loop, name: &str, call: Call) -> Result<Value, Error> {
        if !call.keywords.is_empty() {
            return Err(Error::failed(format!("`{name}` takes no named arguments")));
        }
        if name == "cycle" {
            let length = call.positional.len();
            let item = state
                .index
                .get()
                .checked_rem(length)
                .map(|at| call.positional[at].clone());
            return item.ok_or_else(|| Error::failed("`cycle` needs items"));
        }
        let value = self.tuple(call.positional)?;
        let before = state.changed.borrow().clone();
        let same = match before {
            Some(before) => self.equal(&before, &value)?,
            None => false,
        };
        state.changed.replace(Some(value));
        Ok(Value::Bool(!same))
    }
}

fn index(start: usize, step: i128, at: usize) -> usize {
    (start as i128 + step * at as i128) as usize
}

/// The first index of a slice, its step, and how many items it has.
fn bounds(parts: &[Value; 3], length: usize) -> Result<(usize, i128, usize), Error> {
    let part = |value: &Value| {
        if matches!(value, Value::None) {
            Ok(None)
        } else {
            int(value).map(Some)
        }
    };
    let step = part(&parts[2])?.unwrap_or(1);
    if step == 0 {
        return Err(Error::failed("the step of a slice can't be zero"));
    }
    let length = length as i128;
    let (lowest, highest) = if step > 0 {
        (0, length)
    } else {
        (-1, length - 1)
    };
    let place = |value: i128| {
        let value = if value < 0 {
            value.saturating_add(length)
        } else {
            value
        };
        value.clamp(lowest, highest)
    };
    let start = part(&parts[0])?.map_or(if step > 0 { lowest } else { highest }, place);
    let stop = part(&parts[1])?.map_or(if step > 0 { highest } else { lowest }, place);
    let distance = if step > 0 { stop - start } else { start - stop }.max(0);
    let stride = step.saturating_abs();
    let count = distance / stride + i128::from(distance % stride != 0);
    Ok((
        start.max(0) as usize,
        if count > 1 { step } else { step.signum() },
        count as usize,
    ))
}
