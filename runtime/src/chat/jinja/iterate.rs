//! Iterators: the source of the items of `for` and filters.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use super::ast::For;
use super::budget::{STEPS_PER_ITEM, STEPS_PER_STRING};
use super::call::Call;
use super::error::Error;
use super::interpreter::Interpreter;
use super::value::{Extent, Range, Scope, Sequence, Text, Value};

/// The remaining items of a value.
pub(super) enum Iter {
    Items(Rc<Sequence>, usize),
    Reversed(Rc<Sequence>, usize),
    Owned(std::vec::IntoIter<Value>),
    Characters(Text, usize),
    Range(Range, usize),
    Generator(Rc<Generator>),
}

/// A lazy sequence that can be read once.
pub(super) struct Generator {
    pub extent: Extent,
    state: RefCell<State>,
}

enum State {
    /// Nothing was asked for yet: generators begin with the first item.
    New(Value, Step),
    Running(Iter, Step),
    /// It ended, or is being asked for an item.
    Over,
}

/// The operation of a generator on each item of its source.
pub(super) enum Step {
    Keep,
    /// `map`: a filter by name, or an attribute with a default.
    Map(Arc<str>, Call),
    MapAttribute(Value, Option<Value>),
    /// `select` and its like: an attribute to look at, a test by name, and what the test must say.
    Select(Option<Value>, Option<(Arc<str>, Call)>, bool),
}

impl Generator {
    pub fn new(source: Value, step: Step) -> Rc<Self> {
        // Arguments count: a chain of generators may run through them.
        let arguments = |call: &Call| {
            Extent::of(
                call.positional
                    .iter()
                    .chain(call.keywords.iter().map(|(_, v)| v)),
            )
        };
        let parts = match &step {
            Step::Keep => [None, None],
            Step::Map(_, call) => [Some(arguments(call)), None],
            Step::MapAttribute(attribute, default) => [
                Some(attribute.extent()),
                default.as_ref().map(Value::extent),
            ],
            Step::Select(attribute, test, _) => [
                attribute.as_ref().map(Value::extent),
                test.as_ref().map(|(_, call)| arguments(call)),
            ],
        };
        let inside = parts
            .into_iter()
            .flatten()
            .fold(source.extent(), |extent, part| Extent {
                depth: extent.depth.max(part.depth),
                bytes: extent.bytes.saturating_add(part.bytes),
            });
        let extent = Extent {
            depth: inside.depth + 1,
            ..inside
        };
        Rc::new(Self {
            extent,
            state: RefCell::new(State::New(source, step)),
        })
    }

    /// Of items that are known already.
    pub fn of_iter(iter: Iter, extent: Extent) -> Rc<Self> {
        Rc::new(Self {
            extent,
            state: RefCell::new(State::Running(iter, Step::Keep)),
        })
    }
}

/// A running `for`, as templates see it in `loop`.
pub(super) struct Loop {
    pub definition: Arc<For>,
    /// Around the loop.
    pub scope: Rc<Scope>,
    pub source: RefCell<Iter>,
    /// Items that were read to count them; the condition held for them.
    pub ready: RefCell<VecDeque<Value>>,
    /// The length, where it is known without reading all items.
    pub length: Cell<Option<usize>>,
    pub index: Cell<usize>,
    pub depth: usize,
    /// The item after the current one, if somebody asked: `Some(None)` is the end.
    pub next: RefCell<Option<Option<Value>>>,
    pub previous: RefCell<Option<Value>>,
    pub current: RefCell<Option<Value>>,
    pub changed: RefCell<Option<Value>>,
}

impl Loop {
    /// Drops all values, so that loops that hold each other are dropped one by one.
    pub fn clear(&self) {
        drop(self.source.replace(Iter::Owned(Vec::new().into_iter())));
        drop((
            self.ready.take(),
            self.next.take(),
            self.scope.values.take(),
        ));
        drop((
            self.previous.take(),
            self.current.take(),
            self.changed.take(),
        ));
    }
}

impl Interpreter<'_> {
    /// Python's `iter`.
    pub fn iter(&mut self, value: &Value) -> Result<Iter, Error> {
        Ok(match value {
            Value::Undefined(_) => Iter::Owned(Vec::new().into_iter()),
            Value::Str(text) => Iter::Characters(text.clone(), 0),
            Value::List(items) | Value::Tuple(items) | Value::View(items, _) => {
                Iter::Items(items.clone(), 0)
            }
            Value::Dict(dict) => {
                self.charge(dict.items.len())?;
                Iter::Owned(
                    dict.items
                        .keys()
                        .map(|key| key.0.clone())
                        .collect::<Vec<_>>()
                        .into_iter(),
                )
            }
            Value::Range(range) => Iter::Range(*range, 0),
            Value::Generator(generator) => Iter::Generator(generator.clone()),
            other => {
                return Err(Error::failed(format!(
                    "'{}' object is not iterable",
                    other.type_name()
                )));
            }
        })
    }

    /// The next item.
    pub fn next(&mut self, iter: &mut Iter) -> Result<Option<Value>, Error> {
        self.charge(1)?;
        Ok(match iter {
            Iter::Items(items, at) => {
                *at += 1;
                items.items.get(*at - 1).cloned()
            }
            Iter::Reversed(items, left) => {
                let at = left.checked_sub(1);
                *left = at.unwrap_or(0);
                at.and_then(|at| items.items.get(at).cloned())
            }
            Iter::Owned(items) => items.next(),
            Iter::Characters(text, at) => {
                // Each is a string of its own.
                self.charge(STEPS_PER_STRING)?;
                text.text[*at..].chars().next().map(|character| {
                    *at += character.len_utf8();
                    Value::text(character.encode_utf8(&mut [0; 4]) as &str, text.safe)
                })
            }
            Iter::Range(range, at) => {
                *at += 1;
                (*at <= range.length).then(|| range.get(*at - 1))
            }
            Iter::Generator(generator) => {
                let generator = generator.clone();
                self.nested(|interpreter| interpreter.generate(&generator))?
            }
        })
    }

    fn generate(&mut self, generator: &Generator) -> Result<Option<Value>, Error> {
        let state = generator.state.replace(State::Over);
        let (mut iter, step) = match state {
            State::New(source, step) => {
                // `map`, `select` and their like read nothing of what is false.
                if !source.is_true() {
                    return Ok(None);
                }
                (self.iter(&source)?, step)
            }
            State::Running(iter, step) => (iter, step),
            State::Over => return Ok(None),
        };
        let mut found = None;
        while let Some(item) = self.next(&mut iter)? {
            if let Step::Map(_, call) | Step::Select(_, Some((_, call)), _) = &step {
                self.charge(call.positional.len() + call.keywords.len())?;
            }
            found = match &step {
                Step::Keep => Some(item),
                Step::Map(name, call) => Some(self.filter(name, item, call.clone())?),
                Step::MapAttribute(attribute, default) => {
                    Some(self.attribute_path(item, attribute, default.as_ref())?)
                }
                Step::Select(attribute, test, wanted) => {
                    let value = match attribute {
                        Some(attribute) => self.attribute_path(item.clone(), attribute, None)?,
                        None => item.clone(),
                    };
                    let holds = match test {
                        Some((name, call)) => self.test(name, &value, call.clone())?,
                        None => value.is_true(),
                    };
                    (holds == *wanted).then_some(item)
                }
            };
            if found.is_some() {
                break;
            }
        }
        if found.is_some() {
            generator.state.replace(State::Running(iter, step));
        }
        Ok(found)
    }

    /// All items.
    pub fn collect(&mut self, value: &Value) -> Result<Vec<Value>, Error> {
        let mut iter = self.iter(value)?;
        let mut items = Vec::new();
        while let Some(item) = self.next(&mut iter)? {
            self.charge(STEPS_PER_ITEM)?;
            items.push(item);
        }
        Ok(items)
    }

    /// Python's `len`.
    pub fn length(&mut self, value: &Value) -> Result<usize, Error> {
        Ok(match value {
            Value::Undefined(_) => 0,
            Value::Str(text) => {
                self.charge_bytes(text.text.len() / 8)?;
                text.text.chars().count()
            }
            Value::List(items) | Value::Tuple(items) | Value::View(items, _) => items.items.len(),
            Value::Dict(dict) => dict.items.len(),
            Value::Range(range) => range.length,
            Value::Loop(state) => self.loop_length(state)?,
            other => {
                return Err(Error::failed(format!(
                    "object of type '{}' has no len()",
                    other.type_name()
                )));
            }
        })
    }

    /// The next item of a loop that its condition lets pass.
    fn next_of_loop(&mut self, state: &Loop) -> Result<Option<Value>, Error> {
        if let Some(item) = state.ready.borrow_mut().pop_front() {
            return Ok(Some(item));
        }
        let mut source = state.source.replace(Iter::Owned(Vec::new().into_iter()));
        let mut found = None;
        while let Some(item) = self.next(&mut source)? {
            if let Some(condition) = &state.definition.condition {
                let scope = Scope::new(Some(state.scope.clone()));
                self.assign(&state.definition.target, item.clone(), &scope)?;
                if !self.evaluate(condition, &scope)?.is_true() {
                    continue;
                }
            }
            found = Some(item);
            break;
        }
        state.source.replace(source);
        Ok(found)
    }

    /// Steps to the next item.
    pub fn advance_loop(&mut self, state: &Loop) -> Result<Option<Value>, Error> {
        let ahead = state.next.take();
        let item = match ahead {
            Some(item) => item,
            None => self.next_of_loop(state)?,
        };
        if let Some(item) = &item {
            let before = state.current.replace(Some(item.clone()));
            if before.is_some() {
                state.index.set(state.index.get() + 1);
            }
            state.previous.replace(before);
        }
        Ok(item)
    }

    pub fn peek_loop(&mut self, state: &Loop) -> Result<Option<Value>, Error> {
        let known = state.next.borrow().clone();
        match known {
            Some(item) => Ok(item),
            None => {
                let item = self.next_of_loop(state)?;
                state.next.replace(Some(item.clone()));
                Ok(item)
            }
        }
    }

    /// Reads all items of a loop over a generator or with a condition.
    fn loop_length(&mut self, state: &Loop) -> Result<usize, Error> {
        if let Some(length) = state.length.get() {
            return Ok(length);
        }
        let mut items = Vec::new();
        while let Some(item) = self.next_of_loop(state)? {
            self.charge(STEPS_PER_ITEM)?;
            items.push(item);
        }
        let ahead = usize::from(matches!(&*state.next.borrow(), Some(Some(_))));
        let length = items.len() + ahead + state.index.get() + 1;
        state.ready.replace(items.into());
        state.length.set(Some(length));
        Ok(length)
    }
}
