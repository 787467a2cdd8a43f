//! Calls: arguments, and the functions that every template has.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use indexmap::IndexMap;

use super::super::clock;
use super::budget::check_depth;
use super::error::Error;
use super::interpreter::Interpreter;
use super::text::shown;
use super::value::{Callable, Function, Key, Range, Value};

/// `range` makes no more items than jinja2's sandbox allows.
const MAX_RANGE: i128 = 100_000;

/// Arguments by position and by name.
#[derive(Clone, Default)]
pub(super) struct Call {
    pub positional: Vec<Value>,
    pub keywords: Vec<(Arc<str>, Value)>,
}

impl Call {
    /// Sorts arguments to parameters. What is left over is an error.
    pub fn bind<const N: usize>(
        self,
        function: &str,
        names: [&str; N],
    ) -> Result<[Option<Value>; N], Error> {
        if self.positional.len() > N {
            let given = self.positional.len();
            return Err(Error::failed(format!(
                "`{function}` takes at most {N} arguments, not {given}"
            )));
        }
        let mut bound = [const { None }; N];
        for (place, value) in bound.iter_mut().zip(self.positional) {
            *place = Some(value);
        }
        for (name, value) in self.keywords {
            let at = names.iter().position(|found| **found == *name);
            let wrong =
                || Error::failed(format!("`{function}` takes no argument `{}`", shown(&name)));
            let at = at.ok_or_else(wrong)?;
            if bound[at].replace(value).is_some() {
                return Err(Error::failed(format!(
                    "`{function}` got the argument `{name}` twice"
                )));
            }
        }
        Ok(bound)
    }

    /// The same, of which the first `required` must be there.
    pub fn bind_required<const N: usize>(
        self,
        function: &str,
        names: [&str; N],
        required: usize,
    ) -> Result<[Option<Value>; N], Error> {
        let bound = self.bind(function, names)?;
        match (0..required).find(|at| bound[*at].is_none()) {
            Some(at) => Err(Error::failed(format!(
                "`{function}` needs the argument `{}`",
                names[at]
            ))),
            None => Ok(bound),
        }
    }

    /// No arguments.
    pub fn none(self, function: &str) -> Result<(), Error> {
        self.bind(function, []).map(|[]| ())
    }

    /// One argument.
    pub fn one(self, function: &str) -> Result<Value, Error> {
        let [value] = self.bind_required(function, ["value"], 1)?;
        Ok(value.unwrap_or(Value::None))
    }
}

/// An argument that must be an integer.
pub(super) fn int(value: &Value) -> Result<i128, Error> {
    value.defined()?;
    value
        .as_int()
        .ok_or_else(|| Error::failed(format!("an integer is needed, not '{}'", value.type_name())))
}

/// An argument that must be a string.
pub(super) fn text(value: &Value) -> Result<&str, Error> {
    value
        .as_str()
        .ok_or_else(|| Error::failed(format!("a string is needed, not '{}'", value.type_name())))
}

/// The same, to keep: without a copy, which nothing would pay for.
pub(super) fn shared_text(value: &Value) -> Result<Arc<str>, Error> {
    match value {
        Value::Str(text) => Ok(text.text.clone()),
        other => text(other).map(Arc::from),
    }
}

/// A length from a template. One that can't be paid for fails before anything is made.
pub(super) fn width(value: &Value) -> Result<usize, Error> {
    Ok(usize::try_from(int(value)?.max(0)).unwrap_or(usize::MAX))
}

impl Interpreter<'_> {
    pub fn call(&mut self, value: &Value, call: Call) -> Result<Value, Error> {
        self.charge(1)?;
        match value {
            Value::Callable(callable) => match &**callable {
                Callable::Method(value, name) => self.method(value, name, call),
                Callable::Function(function) => self.function(*function, call),
                Callable::Macro(definition, scope) => self.call_macro(definition, scope, call),
                Callable::Cycler(items, at) => {
                    call.none("cycler")?;
                    let item = items.items[at.get() % items.items.len()].clone();
                    at.set((at.get() + 1) % items.items.len());
                    Ok(item)
                }
                Callable::Joiner(separator, used) => {
                    call.none("joiner")?;
                    Ok(if used.replace(true) {
                        separator.clone()
                    } else {
                        Value::from("")
                    })
                }
            },
            Value::Loop(state) => {
                let iterable = call.one("loop")?;
                if !state.definition.recursive {
                    return Err(Error::failed("the loop is not recursive"));
                }
                let (definition, scope, depth) = (
                    state.definition.clone(),
                    state.scope.clone(),
                    state.depth + 1,
                );
                self.nested(|interpreter| {
                    interpreter.capture(|interpreter| {
                        interpreter.run_loop(&definition, &scope, &iterable, depth)
                    })
                })
            }
            Value::Undefined(_) => value.defined().map(|()| Value::None),
            other => Err(Error::failed(format!(
                "'{}' object is not callable",
                other.type_name()
            ))),
        }
    }

    fn function(&mut self, function: Function, call: Call) -> Result<Value, Error> {
        match function {
            Function::RaiseException => {
                let message = call.bind_required("raise_exception", ["message"], 1)?[0].take();
                let message = self.stringify(&message.unwrap_or(Value::None))?;
                Err(Error::failed(&*message))
            }
            Function::StrftimeNow => {
                let format = call.bind_required("strftime_now", ["format"], 1)?[0]
                    .take()
                    .unwrap_or(Value::None);
                let format = text(&format)?;
                // Widths are bounded, so that a directive writes no more than this.
                self.charge_bytes(format.len().saturating_mul(64))?;
                Ok(Value::from(clock::format(format, (self.now)())))
            }
            Function::Range => range(call),
            Function::Dict => {
                let items = self.dict_items(call)?;
                self.dict(items)
            }
            Function::Namespace => {
                let mut values = IndexMap::new();
                for (key, value) in self.dict_items(call)? {
                    let Value::Str(name) = key.0 else { continue };
                    self.charge_bytes(name.text.len())?;
                    values.insert(name.text, value);
                }
                self.namespace(values)
            }
            Function::Cycler => {
                if call.positional.is_empty() || !call.keywords.is_empty() {
                    return Err(Error::failed("`cycler` needs items"));
                }
                let Value::List(items) = self.list(call.positional)? else {
                    return Ok(Value::None);
                };
                Ok(Value::Callable(Rc::new(Callable::Cycler(
                    items,
                    Cell::new(0),
                ))))
            }
            Function::Joiner => {
                let [separator] = call.bind("joiner", ["sep"])?;
                let separator = separator.unwrap_or_else(|| Value::from(", "));
                check_depth(separator.extent())?;
                Ok(Value::Callable(Rc::new(Callable::Joiner(
                    separator,
                    Cell::new(false),
                ))))
            }
        }
    }

    /// The dictionary of Python's `dict(…)`.
    fn dict_items(&mut self, call: Call) -> Result<IndexMap<Key, Value>, Error> {
        let mut items = IndexMap::new();
        if call.positional.len() > 1 {
            return Err(Error::failed(
                "`dict` takes at most one argument by position",
            ));
        }
        match call.positional.first() {
            Some(Value::Dict(dict)) => {
                self.charge(dict.items.len())?;
                items = dict.items.clone();
            }
            Some(pairs) => {
                for pair in self.collect(pairs)? {
                    let mut pair = self.collect(&pair)?.into_iter();
                    let (Some(key), Some(value), None) = (pair.next(), pair.next(), pair.next())
                    else {
                        return Err(Error::failed("`dict` needs pairs"));
                    };
                    let key = self.key(key)?;
                    items.insert(key, value);
                }
            }
            None => {}
        }
        for (name, value) in call.keywords {
            self.charge_bytes(name.len())?;
            items.insert(Key(Value::text(name, false)), value);
        }
        Ok(items)
    }
}

fn range(call: Call) -> Result<Value, Error> {
    if !call.keywords.is_empty() {
        return Err(Error::failed("`range` takes no named arguments"));
    }
    let arguments = call
        .positional
        .iter()
        .map(int)
        .collect::<Result<Vec<_>, _>>()?;
    let (start, stop, step) = match arguments[..] {
        [stop] => (0, stop, 1),
        [start, stop] => (start, stop, 1),
        [start, stop, step] => (start, stop, step),
        _ => return Err(Error::failed("`range` takes one to three arguments")),
    };
    if step == 0 {
        return Err(Error::failed("`range` needs a step that is not zero"));
    }
    let distance = if step > 0 {
        stop.checked_sub(start)
    } else {
        start.checked_sub(stop)
    };
    let distance = distance
        .ok_or_else(|| Error::failed("`range` is too large"))?
        .max(0);
    let stride = step.saturating_abs();
    let length = (distance / stride).saturating_add(i128::from(distance % stride != 0));
    if length > MAX_RANGE {
        return Err(Error::failed(format!(
            "`range` of {length} items; at most {MAX_RANGE} are allowed"
        )));
    }
    Ok(Value::Range(Range {
        start,
        step,
        length: length as usize,
    }))
}
