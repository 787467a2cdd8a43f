//! Values as Python has them. All but namespaces, loops and generators are immutable: the sandbox
//! that transformers renders in refuses what would change a list or a dictionary.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use indexmap::IndexMap;

use super::ast::Macro;
use super::error::Error;
pub(super) use super::extent::Extent;
use super::iterate::{Generator, Loop};
pub(super) use super::key::Key;
pub(super) use super::scope::Scope;
use super::text::cut;

/// The longest message of an undefined value, in bytes.
const MAX_MESSAGE: usize = 256;

#[derive(Clone)]
pub(super) enum Value {
    Undefined(Rc<Undefined>),
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Str(Text),
    List(Rc<Sequence>),
    Tuple(Rc<Sequence>),
    Dict(Rc<Dict>),
    /// `keys()`, `values()` or `items()` of a dictionary.
    View(Rc<Sequence>, &'static str),
    Range(Range),
    Generator(Rc<Generator>),
    Namespace(Rc<Namespace>),
    Loop(Rc<Loop>),
    Callable(Rc<Callable>),
}

/// A string. `safe` is markupsafe's `Markup`: it escapes what is added to it.
#[derive(Clone)]
pub(super) struct Text {
    pub text: Arc<str>,
    pub safe: bool,
}

/// An undefined value, and the reason.
pub(super) struct Undefined {
    pub message: String,
}

/// Items of a list, a tuple or a view.
pub(super) struct Sequence {
    pub items: Vec<Value>,
    pub extent: Extent,
}

pub(super) struct Dict {
    pub items: IndexMap<Key, Value>,
    pub extent: Extent,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) struct Range {
    pub start: i128,
    pub step: i128,
    pub length: usize,
}

pub(super) struct Namespace {
    pub values: RefCell<IndexMap<Arc<str>, Value>>,
}

pub(super) enum Callable {
    /// A method with the value that it belongs to.
    Method(Value, Arc<str>),
    Function(Function),
    Macro(Arc<Macro>, Rc<Scope>),
    /// `cycler(…)`: items, and the place of the current one.
    Cycler(Rc<Sequence>, Cell<usize>),
    /// `joiner(…)`: the separator, and whether it was used before.
    Joiner(Value, Cell<bool>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    RaiseException,
    StrftimeNow,
    Range,
    Dict,
    Namespace,
    Cycler,
    Joiner,
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Str(Text {
            text: text.into(),
            safe: false,
        })
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Str(Text {
            text: text.into(),
            safe: false,
        })
    }
}

impl Range {
    pub fn get(self, index: usize) -> Value {
        // No overflow: an index within the range gives a number between its bounds.
        Value::Int(
            self.start
                .saturating_add(self.step.saturating_mul(index as i128)),
        )
    }

    pub fn contains(self, number: i128) -> bool {
        // Bounds lie within 127 bits of each other: a number further away is outside.
        let Some(distance) = number.checked_sub(self.start) else {
            return false;
        };
        let (steps, rest) = (
            distance.checked_div(self.step),
            distance.checked_rem(self.step),
        );
        rest == Some(0) && steps.is_some_and(|steps| (0..self.length as i128).contains(&steps))
    }
}

impl Dict {
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.items.get(&Key(Value::from(name)))
    }
}

impl Value {
    /// A value that is undefined; `Interpreter::undefined` also charges for the message.
    pub fn undefined(message: impl Into<String>) -> Self {
        Self::Undefined(Rc::new(Undefined {
            message: cut(message.into(), MAX_MESSAGE),
        }))
    }

    pub fn text(text: impl Into<Arc<str>>, safe: bool) -> Self {
        Self::Str(Text {
            text: text.into(),
            safe,
        })
    }

    /// Python's name of the type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Undefined(_) => "Undefined",
            Self::None => "NoneType",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Str(_) => "str",
            Self::List(_) => "list",
            Self::Tuple(_) => "tuple",
            Self::Dict(_) => "dict",
            Self::View(_, name) => name,
            Self::Range(_) => "range",
            Self::Generator(_) => "generator",
            Self::Namespace(_) => "Namespace",
            Self::Loop(_) => "LoopContext",
            Self::Callable(_) => "function",
        }
    }

    /// The error of an operation that needs a value.
    pub fn defined(&self) -> Result<(), Error> {
        match self {
            Self::Undefined(undefined) => Err(Error::failed(undefined.message.clone())),
            _ => Ok(()),
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(&text.text),
            _ => None,
        }
    }

    /// The integer of an integer or a boolean.
    pub fn as_int(&self) -> Option<i128> {
        match self {
            Self::Int(number) => Some(*number),
            Self::Bool(truth) => Some(i128::from(*truth)),
            _ => None,
        }
    }

    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Float(number) => Some(*number),
            other => other.as_int().map(|number| number as f64),
        }
    }

    pub fn is_true(&self) -> bool {
        match self {
            Self::Undefined(_) | Self::None => false,
            Self::Bool(truth) => *truth,
            Self::Int(number) => *number != 0,
            Self::Float(number) => *number != 0.0,
            Self::Str(text) => !text.text.is_empty(),
            Self::List(items) | Self::Tuple(items) | Self::View(items, _) => {
                !items.items.is_empty()
            }
            Self::Dict(items) => !items.items.is_empty(),
            Self::Range(range) => range.length > 0,
            Self::Generator(_) | Self::Namespace(_) | Self::Loop(_) | Self::Callable(_) => true,
        }
    }

    /// Python's `==`, for keys. `Interpreter::equal` does the same and charges for each part.
    pub fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Undefined(_), Self::Undefined(_)) | (Self::None, Self::None) => true,
            (Self::Str(a), Self::Str(b)) => a.text == b.text,
            (Self::List(a), Self::List(b)) | (Self::Tuple(a), Self::Tuple(b)) => {
                a.items.len() == b.items.len()
                    && a.items.iter().zip(&b.items).all(|(a, b)| a.equals(b))
            }
            (Self::Dict(a), Self::Dict(b)) => {
                let same = |(key, value): (&Key, &Value)| {
                    b.items.get(key).is_some_and(|other| value.equals(other))
                };
                a.items.len() == b.items.len() && a.items.iter().all(same)
            }
            (Self::Range(a), Self::Range(b)) => {
                a.length == b.length
                    && (a.length == 0 || a.start == b.start && (a.length == 1 || a.step == b.step))
            }
            (Self::View(a, kind), Self::View(b, other)) => {
                let all = |a: &Sequence, b: &Sequence| {
                    a.items.iter().all(|x| b.items.iter().any(|y| x.equals(y)))
                };
                Rc::ptr_eq(a, b)
                    || *kind != "dict_values" && kind == other && all(a, b) && all(b, a)
            }
            (Self::Generator(a), Self::Generator(b)) => Rc::ptr_eq(a, b),
            (Self::Namespace(a), Self::Namespace(b)) => Rc::ptr_eq(a, b),
            (Self::Loop(a), Self::Loop(b)) => Rc::ptr_eq(a, b),
            (Self::Callable(a), Self::Callable(b)) => match (&**a, &**b) {
                (Callable::Method(a, name), Callable::Method(b, other)) => name == other && a.is(b),
                (Callable::Function(a), Callable::Function(b)) => a == b,
                _ => Rc::ptr_eq(a, b),
            },
            _ => match (self.as_int(), other.as_int()) {
                (Some(a), Some(b)) => a == b,
                _ => match (self.as_number(), other.as_number()) {
                    (Some(a), Some(b)) => a == b,
                    _ => false,
                },
            },
        }
    }

    /// Python's `is`, as CPython answers it for small integers and short strings.
    pub fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::None, Self::None) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Str(a), Self::Str(b)) => {
                Arc::ptr_eq(&a.text, &b.text) || a.text.len() < 2 && a.text == b.text
            }
            (Self::List(a), Self::List(b)) | (Self::Tuple(a), Self::Tuple(b)) => Rc::ptr_eq(a, b),
            (Self::Dict(a), Self::Dict(b)) => Rc::ptr_eq(a, b),
            (Self::Undefined(a), Self::Undefined(b)) => Rc::ptr_eq(a, b),
            (Self::Namespace(a), Self::Namespace(b)) => Rc::ptr_eq(a, b),
            _ => false,
        }
    }

    /// The value as a key, or an error for what Python can't hash.
    pub fn into_key(self) -> Result<Key, Error> {
        let hashable = match &self {
            Self::Tuple(items) => items
                .items
                .iter()
                .all(|item| item.clone().into_key().is_ok()),
            Self::List(_) | Self::Dict(_) | Self::View(..) => false,
            _ => true,
        };
        if hashable {
            Ok(Key(self))
        } else {
            Err(Error::failed(format!(
                "unhashable type: '{}'",
                self.type_name()
            )))
        }
    }
}
