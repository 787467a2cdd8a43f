//! The tests that may follow `is`.

use std::cmp::Ordering;

use super::ast::Comparison;
use super::call::Call;
use super::error::Error;
use super::filters;
use super::interpreter::Interpreter;
use super::value::{Text, Value};

const NAMES: [&str; 39] = [
    "odd",
    "even",
    "divisibleby",
    "defined",
    "undefined",
    "filter",
    "test",
    "none",
    "boolean",
    "false",
    "true",
    "integer",
    "float",
    "lower",
    "upper",
    "string",
    "mapping",
    "number",
    "sequence",
    "iterable",
    "callable",
    "sameas",
    "escaped",
    "in",
    "==",
    "eq",
    "equalto",
    "!=",
    "ne",
    ">",
    "gt",
    "greaterthan",
    "ge",
    ">=",
    "<",
    "lt",
    "lessthan",
    "<=",
    "le",
];

pub(super) fn exists(name: &str) -> bool {
    NAMES.contains(&name)
}

impl Interpreter<'_> {
    pub fn test(&mut self, name: &str, value: &Value, call: Call) -> Result<bool, Error> {
        self.charge(1)?;
        let comparison = match name {
            "==" | "eq" | "equalto" => Some(Comparison::Equal),
            "!=" | "ne" => Some(Comparison::NotEqual),
            ">" | "gt" | "greaterthan" => Some(Comparison::Greater),
            ">=" | "ge" => Some(Comparison::GreaterEqual),
            "<" | "lt" | "lessthan" => Some(Comparison::Less),
            "<=" | "le" => Some(Comparison::LessEqual),
            "in" => Some(Comparison::In),
            _ => None,
        };
        if let Some(comparison) = comparison {
            let other = call.one(name)?;
            return self.compare(comparison, value, &other);
        }
        match name {
            "sameas" => return Ok(value.is(&call.one(name)?)),
            "divisibleby" => {
                let by = call.one(name)?;
                return self.divides(value, &by, 0);
            }
            _ => call.none(name)?,
        }
        Ok(match name {
            "odd" => self.divides(value, &Value::Int(2), 1)?,
            "even" => self.divides(value, &Value::Int(2), 0)?,
            "defined" => !matches!(value, Value::Undefined(_)),
            "undefined" => matches!(value, Value::Undefined(_)),
            "filter" | "test" => match value {
                Value::Str(text) if name == "filter" => filters::exists(&text.text),
                Value::Str(text) => exists(&text.text),
                other => {
                    self.key(other.clone())?;
                    false
                }
            },
            "none" => matches!(value, Value::None),
            "boolean" => matches!(value, Value::Bool(_)),
            "true" => matches!(value, Value::Bool(true)),
            "false" => matches!(value, Value::Bool(false)),
            "integer" => matches!(value, Value::Int(_)),
            "float" => matches!(value, Value::Float(_)),
            "number" => matches!(value, Value::Int(_) | Value::Float(_) | Value::Bool(_)),
            "string" => matches!(value, Value::Str(_)),
            "mapping" => matches!(value, Value::Dict(_)),
            "escaped" => matches!(value, Value::Str(Text { safe: true, .. })),
            "callable" => matches!(
                value,
                Value::Callable(_) | Value::Loop(_) | Value::Undefined(_)
            ),
            "lower" | "upper" => {
                let text = self.stringify(value)?;
                self.charge_bytes(text.len())?;
                let wrong = if name == "lower" {
                    char::is_uppercase
                } else {
                    char::is_lowercase
                };
                text.chars().any(|c| c.is_lowercase() || c.is_uppercase())
                    && !text.chars().any(wrong)
            }
            "sequence" => matches!(
                value,
                Value::Str(_)
                    | Value::List(_)
                    | Value::Tuple(_)
                    | Value::Dict(_)
                    | Value::Range(_)
                    | Value::Undefined(_)
            ),
            "iterable" => !matches!(
                value,
                Value::None
                    | Value::Bool(_)
                    | Value::Int(_)
                    | Value::Float(_)
                    | Value::Namespace(_)
                    | Value::Callable(_)
            ),
            _ => {
                return Err(Error::failed(format!(
                    "there is no test `{}`",
                    super::text::shown(name)
                )));
            }
        })
    }

    fn divides(&mut self, value: &Value, by: &Value, rest: i128) -> Result<bool, Error> {
        let found = self.operate(super::ast::Operator::Modulo, value, by)?;
        Ok(self.order(&found, &Value::Int(rest))? == Some(Ordering::Equal))
    }
}
