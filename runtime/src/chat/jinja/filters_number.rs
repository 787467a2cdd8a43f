//! Filters of numbers: `int`, `float` and `round`.

use super::call::{Call, int, text};
use super::error::Error;
use super::interpreter::Interpreter;
use super::operate::too_large;
use super::text::{parse_float, parse_int};
use super::value::Value;

impl Interpreter<'_> {
    pub fn number(&mut self, name: &str, value: Value, call: Call) -> Result<Value, Error> {
        value.defined()?;
        self.charge_bytes(value.extent().bytes)?;
        if name == "float" {
            let [default] = call.bind(name, ["default"])?;
            let number = match &value {
                Value::Str(text) => parse_float(&text.text),
                other => other.as_number(),
            };
            return Ok(number.map_or_else(|| default.unwrap_or(Value::Float(0.0)), Value::Float));
        }
        let [default, base] = call.bind(name, ["default", "base"])?;
        let base = base.as_ref().map_or(Ok(10), int)?;
        let whole = |number: f64| {
            (number.is_finite() && number.abs() < 1e38).then_some(number.trunc() as i128)
        };
        let number = match &value {
            Value::Str(text) => {
                let number = u32::try_from(base)
                    .ok()
                    .and_then(|base| parse_int(&text.text, base));
                number.or_else(|| parse_float(&text.text).and_then(whole))
            }
            Value::Float(number) if number.is_infinite() => {
                return Err(Error::failed("infinity is no integer"));
            }
            Value::Float(number) => whole(*number),
            other => other.as_int(),
        };
        Ok(number.map_or_else(|| default.unwrap_or(Value::Int(0)), Value::Int))
    }

    pub fn round(&mut self, value: Value, call: Call) -> Result<Value, Error> {
        let [precision, method] = call.bind("round", ["precision", "method"])?;
        let precision = precision.as_ref().map_or(Ok(0), int)?;
        let method = method.unwrap_or_else(|| Value::from("common"));
        let places =
            i32::try_from(precision).unwrap_or(if precision < 0 { i32::MIN } else { i32::MAX });
        let number = match value.as_number() {
            Some(number) => number,
            None => {
                value.defined()?;
                return Err(Error::failed(format!(
                    "`round` does not take '{}'",
                    value.type_name()
                )));
            }
        };
        match text(&method)? {
            "common" => match value.as_int() {
                Some(number) if places >= 0 => Ok(Value::Int(number)),
                Some(number) => {
                    let unit = 10_i128
                        .checked_pow(places.unsigned_abs())
                        .filter(|unit| *unit > 0);
                    let Some(unit) = unit else {
                        return Ok(Value::Int(0));
                    };
                    let (floor, rest) = (number.div_euclid(unit), number.rem_euclid(unit));
                    // `rest * 2` and `unit` compared, without the product.
                    let up = rest > unit - rest || rest == unit - rest && floor % 2 != 0;
                    let rounded = floor
                        .checked_add(i128::from(up))
                        .and_then(|floor| floor.checked_mul(unit));
                    rounded.map(Value::Int).ok_or_else(too_large)
                }
                None if places > 300 => Ok(Value::Float(number)),
                None if places >= 0 => {
                    // Digits take longer than bytes.
                    self.charge(places.unsigned_abs() as usize)?;
                    let text = format!("{number:.*}", places as usize);
                    Ok(Value::Float(text.parse().unwrap_or(number)))
                }
                None => {
                    let unit = 10_f64.powi(places.saturating_neg());
                    if !unit.is_finite() {
                        return Ok(Value::Float(0.0_f64.copysign(number)));
                    }
                    Ok(Value::Float((number / unit).round_ties_even() * unit))
                }
            },
            method @ ("ceil" | "floor") => {
                let unit = 10_f64.powi(places);
                let scaled = number * unit;
                if !scaled.is_finite() {
                    return Err(Error::failed("`round` of a number that is too large"));
                }
                Ok(Value::Float(
                    if method == "ceil" {
                        scaled.ceil()
                    } else {
                        scaled.floor()
                    } / unit,
                ))
            }
            _ => Err(Error::failed(
                "`round` goes by \"common\", \"ceil\" or \"floor\"",
            )),
        }
    }
}
