//! Operators, with Python's types. Whatever Python refuses is an error.

use super::ast::Operator;
use super::error::Error;
use super::interpreter::Interpreter;
use super::text::escape_html;
use super::value::{Text, Value};

pub(super) fn unsupported(operator: &str, left: &Value, right: &Value) -> Error {
    Error::failed(format!(
        "`{operator}` does not take '{}' and '{}'",
        left.type_name(),
        right.type_name()
    ))
}

/// The error of an integer that does not fit.
pub(super) fn too_large() -> Error {
    Error::failed("an integer has more than 127 bits")
}

impl Interpreter<'_> {
    pub fn operate(
        &mut self,
        operator: Operator,
        left: &Value,
        right: &Value,
    ) -> Result<Value, Error> {
        // A format takes undefined values as text.
        if !(operator == Operator::Modulo && matches!(left, Value::Str(_))) {
            left.defined()?;
            right.defined()?;
        }
        match operator {
            Operator::Add => self.add(left, right),
            Operator::Multiply => self.multiply(left, right),
            Operator::Modulo => match left {
                Value::Str(format) => self.percent_format(format, right),
                _ => modulo(left, right),
            },
            Operator::Subtract => arithmetic("-", left, right, i128::checked_sub, |a, b| a - b),
            Operator::Divide => match (left.as_number(), right.as_number()) {
                (Some(_), Some(0.0)) => Err(Error::failed("division by zero")),
                (Some(left), Some(right)) => Ok(Value::Float(left / right)),
                _ => Err(unsupported("/", left, right)),
            },
            Operator::FloorDivide => floor_divide(left, right),
            Operator::Power => power(left, right),
        }
    }

    /// Text with markupsafe's rule: where one side is safe, the other is escaped.
    pub fn add_text(&mut self, left: &Text, right: &Text) -> Result<Value, Error> {
        self.charge_bytes(left.text.len() + right.text.len())?;
        let safe = left.safe || right.safe;
        let mut out = String::with_capacity(left.text.len() + right.text.len());
        for part in [left, right] {
            if safe && !part.safe {
                self.charge_bytes(5 * part.text.len())?;
                out.push_str(&escape_html(&part.text));
            } else {
                out.push_str(&part.text);
            }
        }
        Ok(Value::text(out, safe))
    }

    fn add(&mut self, left: &Value, right: &Value) -> Result<Value, Error> {
        match (left, right) {
            (Value::Str(left), Value::Str(right)) => self.add_text(left, right),
            (Value::List(a), Value::List(b)) => {
                self.charge_items(a.items.len() + b.items.len())?;
                self.list([&a.items[..], &b.items].concat())
            }
            (Value::Tuple(a), Value::Tuple(b)) => {
                self.charge_items(a.items.len() + b.items.len())?;
                self.tuple([&a.items[..], &b.items].concat())
            }
            _ => arithmetic("+", left, right, i128::checked_add, |a, b| a + b),
        }
    }

    fn multiply(&mut self, left: &Value, right: &Value) -> Result<Value, Error> {
        let (sequence, count) = match (left, right) {
            (Value::Str(_) | Value::List(_) | Value::Tuple(_), count) => (left, count.as_int()),
            (count, Value::Str(_) | Value::List(_) | Value::Tuple(_)) => (right, count.as_int()),
            _ => return arithmetic("*", left, right, i128::checked_mul, |a, b| a * b),
        };
        let count = count.ok_or_else(|| unsupported("*", left, right))?;
        let count = usize::try_from(count.max(0)).unwrap_or(usize::MAX);
        match sequence {
            Value::Str(text) => {
                self.charge_bytes(text.text.len().saturating_mul(count))?;
                Ok(Value::text(text.text.repeat(count), text.safe))
            }
            Value::List(items) => {
                self.charge_items(items.items.len().saturating_mul(count))?;
                self.list(repeated(&items.items, count))
            }
            Value::Tuple(items) => {
                self.charge_items(items.items.len().saturating_mul(count))?;
                self.tuple(repeated(&items.items, count))
            }
            _ => Err(unsupported("*", left, right)),
        }
    }

    pub fn negative(&mut self, operand: &Value) -> Result<Value, Error> {
        operand.defined()?;
        match operand {
            Value::Float(number) => Ok(Value::Float(-number)),
            other => match other.as_int() {
                Some(number) => number.checked_neg().map(Value::Int).ok_or_else(too_large),
                None => Err(Error::failed(format!(
                    "`-` does not take '{}'",
                    other.type_name()
                ))),
            },
        }
    }

    pub fn positive(&mut self, operand: Value) -> Result<Value, Error> {
        operand.defined()?;
        match operand {
            Value::Float(_) => Ok(operand),
            Value::Str(Text { safe: true, .. }) => Ok(operand),
            other => match other.as_int() {
                Some(number) => Ok(Value::Int(number)),
                None => Err(Error::failed(format!(
                    "`+` does not take '{}'",
                    other.type_name()
                ))),
            },
        }
    }
}

fn repeated(items: &[Value], count: usize) -> Vec<Value> {
    std::iter::repeat_n(items, count)
        .flatten()
        .cloned()
        .collect()
}

fn arithmetic(
    operator: &str,
    left: &Value,
    right: &Value,
    integers: fn(i128, i128) -> Option<i128>,
    floats: fn(f64, f64) -> f64,
) -> Result<Value, Error> {
    if let (Some(left), Some(right)) = (left.as_int(), right.as_int()) {
        return integers(left, right).map(Value::Int).ok_or_else(too_large);
    }
    match (left.as_number(), right.as_number()) {
        (Some(left), Some(right)) => Ok(Value::Float(floats(left, right))),
        _ => Err(unsupported(operator, left, right)),
    }
}

fn floor_divide(left: &Value, right: &Value) -> Result<Value, Error> {
    if right.as_number() == Some(0.0) && left.as_number().is_some() {
        return Err(Error::failed("division by zero"));
    }
    arithmetic(
        "//",
        left,
        right,
        |a, b| {
            let quotient = a.checked_div(b)?;
            Some(if a % b != 0 && (a < 0) != (b < 0) {
                quotient.checked_sub(1)?
            } else {
                quotient
            })
        },
        |a, b| ((a - float_modulo(a, b)) / b).round(),
    )
}

fn float_modulo(a: f64, b: f64) -> f64 {
    let rest = a % b;
    if rest != 0.0 && (rest < 0.0) != (b < 0.0) {
        rest + b
    } else {
        rest.abs().copysign(b)
    }
}

fn modulo(left: &Value, right: &Value) -> Result<Value, Error> {
    if right.as_number() == Some(0.0) && left.as_number().is_some() {
        return Err(Error::failed("modulo by zero"));
    }
    let integers = |a: i128, b: i128| {
        let rest = a.checked_rem(b).unwrap_or(0);
        Some(if rest != 0 && (rest < 0) != (b < 0) {
            rest.checked_add(b)?
        } else {
            rest
        })
    };
    arithmetic("%", left, right, integers, float_modulo)
}

fn power(left: &Value, right: &Value) -> Result<Value, Error> {
    if let (Some(base), Some(exponent)) = (left.as_int(), right.as_int())
        && exponent >= 0
    {
        let small = u32::try_from(exponent).ok();
        let result = match (base, small) {
            (0 | 1, None) => Some(base),
            (-1, None) => Some(if exponent % 2 == 0 { 1 } else { -1 }),
            (_, Some(exponent)) => base.checked_pow(exponent),
            _ => None,
        };
        return result.map(Value::Int).ok_or_else(too_large);
    }
    match (left.as_number(), right.as_number()) {
        (Some(0.0), Some(exponent)) if exponent < 0.0 => {
            Err(Error::failed("zero to a negative power"))
        }
        (Some(base), Some(exponent)) if base < 0.0 && exponent.fract() != 0.0 => {
            Err(Error::failed("a complex number has no use in a template"))
        }
        (Some(base), Some(exponent)) => Ok(Value::Float(base.powf(exponent))),
        _ => Err(unsupported("**", left, right)),
    }
}
