//! Python's `'%s' % value`.

use super::error::Error;
use super::format::{Spec, number, to_radix};
use super::interpreter::Interpreter;
use super::text::{escape_html, shown};
use super::value::{Text, Value};

impl Interpreter<'_> {
    /// `format % values`.
    pub fn percent_format(&mut self, format: &Text, values: &Value) -> Result<Value, Error> {
        let positional: Vec<Value> = match values {
            Value::Tuple(items) => items.items.clone(),
            other => vec![other.clone()],
        };
        let mut next = positional.into_iter();
        let mut used_name = false;
        let mut out = String::new();
        let mut rest = format.text.chars().peekable();
        self.charge_bytes(format.text.len())?;
        while let Some(character) = rest.next() {
            if character != '%' {
                out.push(character);
                continue;
            }
            let mut named = None;
            if rest.next_if_eq(&'(').is_some() {
                named = Some(self.percent_name(&mut rest, values)?);
                used_name = true;
            }
            let mut spec = Spec {
                align: Some('>'),
                ..Spec::default()
            };
            while let Some(flag) = rest.next_if(|c| matches!(c, '-' | '+' | ' ' | '#' | '0')) {
                match flag {
                    '-' => spec.align = Some('<'),
                    '+' => spec.sign = Some('+'),
                    ' ' => spec.sign = spec.sign.or(Some(' ')),
                    '#' => spec.alternate = true,
                    _ => spec.zero = true,
                }
            }
            let missing = || Error::failed("not enough arguments for format string");
            if rest.next_if_eq(&'*').is_some() {
                let width = next.next().ok_or_else(missing)?;
                let width = super::call::int(&width)?;
                if width < 0 {
                    spec.align = Some('<');
                }
                spec.width = usize::try_from(width.unsigned_abs()).unwrap_or(usize::MAX);
            } else {
                spec.width = number(&mut rest)?.unwrap_or(0);
            }
            if rest.next_if_eq(&'.').is_some() {
                spec.precision = Some(if rest.next_if_eq(&'*').is_some() {
                    super::call::width(&next.next().ok_or_else(missing)?)?
                } else {
                    number(&mut rest)?.unwrap_or(0)
                });
            }
            while rest.next_if(|c| matches!(c, 'h' | 'l' | 'L')).is_some() {}
            let kind = rest
                .next()
                .ok_or_else(|| Error::failed("incomplete format"))?;
            if kind == '%' {
                out.push('%');
                continue;
            }
            let value = match named {
                Some(value) => value,
                None => next.next().ok_or_else(missing)?,
            };
            let text = self.percent_value(kind, &value, spec)?;
            let raw = matches!(&value, Value::Str(text) if text.safe);
            if format.safe && !raw {
                self.charge_bytes(5 * text.len())?;
                out.push_str(&escape_html(&text));
            } else {
                out.push_str(&text);
            }
        }
        let left = next.next().is_some();
        if left && !used_name && !matches!(values, Value::Dict(_) | Value::List(_)) {
            return Err(Error::failed(
                "not all arguments converted during string formatting",
            ));
        }
        Ok(Value::text(out, format.safe))
    }

    fn percent_name(
        &mut self,
        rest: &mut std::iter::Peekable<std::str::Chars<'_>>,
        values: &Value,
    ) -> Result<Value, Error> {
        let mut name = String::new();
        let mut open = 1;
        loop {
            let character = rest
                .next()
                .ok_or_else(|| Error::failed("incomplete format key"))?;
            match character {
                '(' => open += 1,
                ')' if open == 1 => break,
                ')' => open -= 1,
                _ => {}
            }
            name.push(character);
        }
        let Value::Dict(dict) = values else {
            return Err(Error::failed("format requires a mapping"));
        };
        dict.get(&name)
            .cloned()
            .ok_or_else(|| Error::failed(format!("the mapping has no key {:?}", shown(&name))))
    }

    fn percent_value(
        &mut self,
        kind: char,
        value: &Value,
        mut spec: Spec,
    ) -> Result<String, Error> {
        match kind {
            's' | 'r' | 'a' => {
                let text = self.converted(value, if kind == 's' { None } else { Some(kind) })?;
                spec.zero = false;
                spec.kind = Some('s');
                self.pad_text(&text, spec)
            }
            'c' => {
                spec.zero = false;
                spec.precision = None;
                let character = match value {
                    Value::Str(text) if text.text.chars().count() == 1 => text.text.to_string(),
                    other => {
                        let code = other
                            .as_int()
                            .and_then(|code| u32::try_from(code).ok())
                            .and_then(char::from_u32);
                        code.ok_or_else(|| Error::failed("%c needs a character or its number"))?
                            .to_string()
                    }
                };
                self.pad_text(&character, spec)
            }
            'd' | 'i' | 'u' => {
                let number = match value {
                    Value::Float(number) if number.is_finite() && number.abs() < 1e38 => {
                        number.trunc() as i128
                    }
                    other => super::call::int(other)?,
                };
                self.number_with_digits(number, 10, spec)
            }
            'x' | 'X' | 'o' => {
                let number = super::call::int(value)?;
                spec.kind = Some(kind);
                self.number_with_digits(number, if kind == 'o' { 8 } else { 16 }, spec)
            }
            'e' | 'E' | 'f' | 'F' | 'g' | 'G' => {
                value.defined()?;
                let number = value.as_number();
                let number =
                    number.ok_or_else(|| Error::failed(format!("%{kind} needs a number")))?;
                spec.kind = Some(kind);
                self.float(number, spec)
            }
            other => Err(Error::failed(format!(
                "unsupported format character {other:?}"
            ))),
        }
    }

    /// An integer whose precision is its least number of digits.
    fn number_with_digits(
        &mut self,
        number: i128,
        radix: u32,
        mut spec: Spec,
    ) -> Result<String, Error> {
        let mut digits = to_radix(number.unsigned_abs(), radix);
        if spec.kind == Some('X') {
            digits = digits.to_uppercase();
        }
        if let Some(precision) = spec.precision.take() {
            self.charge_bytes(precision)?;
            digits = format!(
                "{}{digits}",
                "0".repeat(precision.saturating_sub(digits.len()))
            );
        }
        let prefix = match spec.kind {
            Some(kind @ ('x' | 'X' | 'o')) if spec.alternate => format!("0{kind}"),
            _ => String::new(),
        };
        self.pad_number(number < 0, &prefix, &digits, spec)
    }
}
