//! Equality, order and membership, and sorting by them.

use std::cmp::Ordering;
use std::rc::Rc;

use super::ast::Comparison;
use super::error::Error;
use super::interpreter::Interpreter;
use super::operate::unsupported;
use super::value::Value;

impl Interpreter<'_> {
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
