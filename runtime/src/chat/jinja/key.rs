//! Keys of dictionaries: equality and hashes.

use std::hash::{Hash, Hasher};
use std::rc::Rc;

use super::value::{Callable, Value};

/// A hashable value.
#[derive(Clone)]
pub(super) struct Key(pub Value);

impl Key {
    /// Equality as `==`, but NaN is the same key as NaN: else each one in a table would be compared
    /// with all others.
    fn same(left: &Value, right: &Value) -> bool {
        match (left, right) {
            (Value::Float(a), Value::Float(b)) => a == b || a.is_nan() && b.is_nan(),
            (Value::Tuple(a), Value::Tuple(b)) => {
                a.items.len() == b.items.len()
                    && a.items.iter().zip(&b.items).all(|(a, b)| Self::same(a, b))
            }
            _ => left.equals(right),
        }
    }

    /// Values that differ have different hashes but for chance: a table of equal hashes takes
    /// quadratic time.
    fn hash_value<H: Hasher>(value: &Value, state: &mut H) {
        match value {
            Value::Str(text) => text.text.hash(state),
            Value::Tuple(items) => {
                items.items.len().hash(state);
                items
                    .items
                    .iter()
                    .for_each(|item| Self::hash_value(item, state));
            }
            // Equal numbers have one hash, whatever their type.
            Value::Int(_) | Value::Bool(_) => value.as_int().unwrap_or(0).hash(state),
            Value::Float(number) if number.fract() == 0.0 && number.abs() < i128::MAX as f64 => {
                (*number as i128).hash(state)
            }
            Value::Float(number) if number.is_nan() => "nan".hash(state),
            Value::Float(number) => number.to_bits().hash(state),
            Value::Range(range) => {
                range.length.hash(state);
                if range.length > 0 {
                    range.start.hash(state);
                }
                if range.length > 1 {
                    range.step.hash(state);
                }
            }
            Value::Namespace(namespace) => Rc::as_ptr(namespace).hash(state),
            Value::Generator(generator) => Rc::as_ptr(generator).hash(state),
            Value::Loop(state_of_loop) => Rc::as_ptr(state_of_loop).hash(state),
            Value::Callable(callable) => match &**callable {
                Callable::Method(value, name) => {
                    name.hash(state);
                    Self::hash_identity(value, state);
                }
                Callable::Function(function) => (*function as u8).hash(state),
                _ => Rc::as_ptr(callable).hash(state),
            },
            other => other.type_name().hash(state),
        }
    }

    /// A hash that suits `Value::is`.
    fn hash_identity<H: Hasher>(value: &Value, state: &mut H) {
        match value {
            Value::Str(text) if text.text.len() < 2 => text.text.hash(state),
            Value::Str(text) => text.text.as_ptr().hash(state),
            Value::List(items) | Value::Tuple(items) => Rc::as_ptr(items).hash(state),
            Value::Dict(dict) => Rc::as_ptr(dict).hash(state),
            Value::Int(number) => number.hash(state),
            Value::Namespace(namespace) => Rc::as_ptr(namespace).hash(state),
            other => other.type_name().hash(state),
        }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        Self::same(&self.0, &other.0)
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Self::hash_value(&self.0, state);
    }
}
