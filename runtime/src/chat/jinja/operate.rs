//! Operators and comparisons, with Python's types. Whatever Python refuses is an error.

use std::cmp::Ordering;
use std::rc::Rc;

use super::ast::{Comparison, Operator};
use super::error::Error;
use super::interpreter::Interpreter;
use super::text::escape_html;
use super::value::{Text, Value};

fn unsupported(operator: &str, left: &Value, right: &Value) -> Error {
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

    /// Python's `==`. Each part that is compared is paid for.
    pub fn equal(&mut self, left: &Value, right: &Value) -> Result<bool, Error> {
        self.charge(1)?;
        match (left, right) {
            (Value::Str(a), Value::Str(b)) => {
                if a.text.len() != b.text.len() {
                    return Ok(false);
                }
                self.charge_bytes(a.text.len())?;
                Ok(a.text == b.text)
            }
            (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => {
                if a.items.len() != b.items.len() {
                    return Ok(false);
                }
                for (a, b) in a.items.iter().zip(&b.items) {
                    if !self.equal(a, b)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            (Value::Dict(a), Value::Dict(b)) => {
                if a.items.len() != b.items.len() {
                    return Ok(false);
                }
                for (key, value) in &a.items {
                    self.charge_bytes(key.0.extent().bytes)?;
                    let Some(other) = b.items.get(key) else {
                        return Ok(false);
                    };
                    if !self.equal(value, other)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            (Value::View(a, kind), Value::View(b, other)) if !Rc::ptr_eq(a, b) => {
                let comparable = *kind != "dict_values" && kind == other;
                Ok(comparable
                    && self.all_in(&a.items, &b.items)?
                    && self.all_in(&b.items, &a.items)?)
            }
            (Value::Callable(_), Value::Callable(_)) => {
                self.charge_bytes(left.extent().bytes.min(right.extent().bytes))?;
                Ok(left.equals(right))
            }
            _ => Ok(left.equals(right)),
        }
    }

    /// Whether all items are among the others.
    fn all_in(&mut self, items: &[Value], others: &[Value]) -> Result<bool, Error> {
        for item in items {
            let mut found = false;
            for other in others {
                found = self.equal(item, other)?;
                if found {
                    break;
                }
            }
            if !found {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub fn compare(
        &mut self,
        comparison: Comparison,
        left: &Value,
        right: &Value,
    ) -> Result<bool, Error> {
        let order = |interpreter: &mut Self| interpreter.order(left, right);
        Ok(match comparison {
            Comparison::Equal => self.equal(left, right)?,
            Comparison::NotEqual => !self.equal(left, right)?,
            Comparison::Less => order(self)? == Some(Ordering::Less),
            Comparison::LessEqual => matches!(order(self)?, Some(Ordering::Less | Ordering::Equal)),
            Comparison::Greater => order(self)? == Some(Ordering::Greater),
            Comparison::GreaterEqual => {
                matches!(order(self)?, Some(Ordering::Greater | Ordering::Equal))
            }
            Comparison::In => self.contains(right, left)?,
            Comparison::NotIn => !self.contains(right, left)?,
        })
    }

    /// The order of two values; `None` where one is not a number.
    pub fn order(&mut self, left: &Value, right: &Value) -> Result<Option<Ordering>, Error> {
        left.defined()?;
        right.defined()?;
        self.charge(1)?;
        match (left, right) {
            (Value::Str(a), Value::Str(b)) => {
                self.charge_bytes(a.text.len().min(b.text.len()))?;
                Ok(Some(a.text.cmp(&b.text)))
            }
            (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => {
                for (a, b) in a.items.iter().zip(&b.items) {
                    if !self.equal(a, b)? {
                        return self.order(a, b);
                    }
                }
                Ok(Some(a.items.len().cmp(&b.items.len())))
            }
            _ => match (left.as_int(), right.as_int()) {
                (Some(a), Some(b)) => Ok(Some(a.cmp(&b))),
                _ => match (left.as_number(), right.as_number()) {
                    (Some(a), Some(b)) => Ok(a.partial_cmp(&b)),
                    _ => Err(unsupported("<", left, right)),
                },
            },
        }
    }

    /// Python's `item in container`.
    pub fn contains(&mut self, container: &Value, item: &Value) -> Result<bool, Error> {
        match container {
            Value::Str(text) => match item {
                Value::Str(part) => {
                    self.charge_search(&text.text, &part.text)?;
                    Ok(text.text.contains(&*part.text))
                }
                other => Err(Error::failed(format!(
                    "a string can't contain '{}'",
                    other.type_name()
                ))),
            },
            Value::Dict(dict) => {
                let key = self.key(item.clone())?;
                Ok(dict.items.contains_key(&key))
            }
            Value::Range(range) => Ok(match item {
                Value::Float(number) => number.fract() == 0.0 && range.contains(*number as i128),
                other => other.as_int().is_some_and(|number| range.contains(number)),
            }),
            other => {
                let mut iter = self.iter(other)?;
                while let Some(found) = self.next(&mut iter)? {
                    if self.equal(&found, item)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }

    /// Sorts items by their keys as Python does: stable, and an error where two have no order.
    ///
    /// A merge sort: that of the standard library may panic where values have no total order.
    pub fn sort(&mut self, items: Vec<(Value, Value)>, reverse: bool) -> Result<Vec<Value>, Error> {
        let wanted = if reverse {
            Ordering::Greater
        } else {
            Ordering::Less
        };
        Ok(self
            .merge_sort(items, wanted)?
            .into_iter()
            .map(|(_, item)| item)
            .collect())
    }

    fn merge_sort(
        &mut self,
        mut items: Vec<(Value, Value)>,
        wanted: Ordering,
    ) -> Result<Vec<(Value, Value)>, Error> {
        if items.len() < 2 {
            return Ok(items);
        }
        let right = items.split_off(items.len() / 2);
        let mut left = self.merge_sort(items, wanted)?.into_iter().peekable();
        let mut right = self.merge_sort(right, wanted)?.into_iter().peekable();
        let mut merged = Vec::with_capacity(left.len() + right.len());
        while let (Some((a, _)), Some((b, _))) = (left.peek(), right.peek()) {
            self.charge(1)?;
            let from_right = self.order(b, a)? == Some(wanted);
            merged.extend(if from_right {
                right.next()
            } else {
                left.next()
            });
        }
        merged.extend(left);
        merged.extend(right);
        Ok(merged)
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
