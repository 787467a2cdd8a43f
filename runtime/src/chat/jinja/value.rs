//! Values as Python has them. All but namespaces, loops and generators are immutable: the sandbox
//! that transformers renders in refuses what would change a list or a dictionary.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use indexmap::IndexMap;

use super::ast::Macro;
use super::error::Error;
use super::iterate::{Generator, Loop};
pub(super) use super::key::Key;
use super::text::{cut, float_repr, write_repr};

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

/// What it takes to walk through a value: values share their parts, so that few steps make large
/// ones.
#[derive(Clone, Copy, Default)]
pub(super) struct Extent {
    /// Levels of nesting.
    pub depth: u32,
    /// About the bytes of its text.
    pub bytes: usize,
}

impl Extent {
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a Value>) -> Self {
        parts
            .into_iter()
            .fold(Self { depth: 1, bytes: 2 }, |extent, part| {
                let part = part.extent();
                Self {
                    depth: extent.depth.max(1 + part.depth),
                    bytes: extent.bytes.saturating_add(part.bytes).saturating_add(4),
                }
            })
    }
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

/// Names with their values, and the scope around them.
pub(super) struct Scope {
    pub values: RefCell<Vec<(Arc<str>, Value)>>,
    pub parent: Option<Rc<Scope>>,
}

impl Scope {
    pub fn new(parent: Option<Rc<Scope>>) -> Rc<Self> {
        Rc::new(Self {
            values: RefCell::default(),
            parent,
        })
    }

    /// The value of a name here or in the scopes around, and how many names it was compared with.
    pub fn find(&self, name: &str) -> (Option<Value>, usize) {
        let mut scope = self;
        let mut compared = 0;
        loop {
            let values = scope.values.borrow();
            compared += 1 + values.len();
            if let Some((_, value)) = values.iter().find(|(found, _)| **found == *name) {
                return (Some(value.clone()), compared);
            }
            match scope.parent.as_deref() {
                Some(parent) => scope = parent,
                None => return (None, compared),
            }
        }
    }

    /// Sets a name here. Returns the number of names it was compared with.
    pub fn set(&self, name: &Arc<str>, value: Value) -> usize {
        let mut values = self.values.borrow_mut();
        match values.iter_mut().find(|(found, _)| found == name) {
            Some((_, old)) => *old = value,
            None => values.push((name.clone(), value)),
        }
        values.len()
    }
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

    pub fn extent(&self) -> Extent {
        let nested = |extent: Extent| Extent {
            depth: 1 + extent.depth,
            ..extent
        };
        match self {
            Self::Str(text) => Extent {
                depth: 0,
                bytes: text.text.len(),
            },
            Self::List(items) | Self::Tuple(items) | Self::View(items, _) => items.extent,
            Self::Dict(items) => items.extent,
            Self::Generator(generator) => generator.extent,
            Self::Callable(callable) => match &**callable {
                Callable::Method(value, _) | Callable::Joiner(value, _) => nested(value.extent()),
                Callable::Cycler(items, _) => nested(items.extent),
                Callable::Macro(definition, _) => Extent {
                    depth: 0,
                    bytes: 16 + definition.name.len(),
                },
                Callable::Function(_) => Extent {
                    depth: 0,
                    bytes: 16,
                },
            },
            Self::Undefined(undefined) => Extent {
                depth: 0,
                bytes: 8 + undefined.message.len(),
            },
            Self::Range(_) => Extent {
                depth: 0,
                bytes: 40,
            },
            _ => Extent { depth: 0, bytes: 8 },
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

    /// Python's `str`, appended.
    pub fn write_str(&self, out: &mut String) {
        match self {
            Self::Undefined(_) => {}
            Self::Str(text) => out.push_str(&text.text),
            other => other.write_repr(out),
        }
    }

    /// Python's `repr`, appended.
    pub fn write_repr(&self, out: &mut String) {
        match self {
            Self::Undefined(_) => out.push_str("Undefined"),
            Self::None => out.push_str("None"),
            Self::Bool(truth) => out.push_str(if *truth { "True" } else { "False" }),
            Self::Int(number) => out.push_str(&number.to_string()),
            Self::Float(number) => out.push_str(&float_repr(*number)),
            Self::Str(text) if text.safe => {
                out.push_str("Markup(");
                write_repr(out, &text.text);
                out.push(')');
            }
            Self::Str(text) => write_repr(out, &text.text),
            Self::List(items) => write_items(out, "[", &items.items, "]"),
            Self::Tuple(items) if items.items.len() == 1 => {
                write_items(out, "(", &items.items, ",)")
            }
            Self::Tuple(items) => write_items(out, "(", &items.items, ")"),
            Self::View(items, name) => {
                out.push_str(name);
                write_items(out, "([", &items.items, "])");
            }
            Self::Dict(dict) => {
                out.push('{');
                for (index, (key, value)) in dict.items.iter().enumerate() {
                    out.push_str(if index == 0 { "" } else { ", " });
                    key.0.write_repr(out);
                    out.push_str(": ");
                    value.write_repr(out);
                }
                out.push('}');
            }
            Self::Range(range) => {
                let stop = range
                    .start
                    .saturating_add(range.step.saturating_mul(range.length as i128));
                out.push_str(&format!("range({}, {stop}", range.start));
                if range.step != 1 {
                    out.push_str(&format!(", {}", range.step));
                }
                out.push(')');
            }
            Self::Generator(_) => out.push_str("<generator>"),
            // A namespace may hold itself.
            Self::Namespace(_) => out.push_str("<Namespace>"),
            Self::Loop(_) => out.push_str("<LoopContext>"),
            Self::Callable(callable) => match &**callable {
                Callable::Macro(definition, _) => {
                    out.push_str("<Macro ");
                    write_repr(out, &definition.name);
                    out.push('>');
                }
                _ => out.push_str("<function>"),
            },
        }
    }

    pub fn to_text(&self) -> Arc<str> {
        match self {
            Self::Str(text) => text.text.clone(),
            other => {
                let mut out = String::new();
                other.write_str(&mut out);
                out.into()
            }
        }
    }
}

fn write_items(out: &mut String, open: &str, items: &[Value], close: &str) {
    out.push_str(open);
    for (index, item) in items.iter().enumerate() {
        out.push_str(if index == 0 { "" } else { ", " });
        item.write_repr(out);
    }
    out.push_str(close);
}
