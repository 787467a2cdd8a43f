//! `tojson` as transformers defines it: `json.dumps` without escapes for HTML.

use super::call::{Call, width};
use super::error::Error;
use super::interpreter::Interpreter;
use super::text::float_repr;
use super::value::{Dict, Key, Value};

struct Writer<'a> {
    out: String,
    ascii: bool,
    sort_keys: bool,
    indent: Option<&'a str>,
    item_separator: &'a str,
    key_separator: &'a str,
    /// The longest text that can be paid for.
    most: usize,
}

impl Interpreter<'_> {
    pub fn json_filter(&mut self, value: &Value, call: Call) -> Result<Value, Error> {
        let names = ["ensure_ascii", "indent", "separators", "sort_keys"];
        let [ascii, indent, separators, sort_keys] = call.bind("tojson", names)?;
        let truth = |value: Option<Value>| value.is_some_and(|value| value.is_true());
        let indent = match indent {
            None | Some(Value::None) => None,
            Some(Value::Str(text)) => {
                self.charge_bytes(text.text.len())?;
                Some(text.text.to_string())
            }
            Some(other) => {
                let width = width(&other)?;
                self.charge_bytes(width)?;
                Some(" ".repeat(width))
            }
        };
        let default = if indent.is_some() { "," } else { ", " };
        let (item_separator, key_separator) = match separators {
            None | Some(Value::None) => (default.into(), ": ".into()),
            Some(pair) => match &self.collect(&pair)?[..] {
                [Value::Str(item), Value::Str(key)] => {
                    self.charge_bytes(item.text.len().saturating_add(key.text.len()))?;
                    (item.text.to_string(), key.text.to_string())
                }
                _ => return Err(Error::failed("`tojson` needs a pair of separators")),
            },
        };
        let mut writer = Writer {
            out: String::new(),
            ascii: truth(ascii),
            sort_keys: truth(sort_keys),
            indent: indent.as_deref(),
            item_separator: &item_separator,
            key_separator: &key_separator,
            most: self.bytes_left(),
        };
        writer.value(value, 1)?;
        let out = writer.out;
        self.charge_bytes(out.len())?;
        Ok(Value::from(out))
    }
}

impl Writer<'_> {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        match value {
            Value::None => self.out.push_str("null"),
            Value::Bool(truth) => self.out.push_str(if *truth { "true" } else { "false" }),
            Value::Int(number) => self.out.push_str(&number.to_string()),
            Value::Float(number) => self.out.push_str(&float(*number)),
            Value::Str(text) => self.string(&text.text),
            Value::List(items) | Value::Tuple(items) if items.items.is_empty() => {
                self.out.push_str("[]")
            }
            Value::List(items) | Value::Tuple(items) => {
                self.out.push('[');
                for (index, item) in items.items.iter().enumerate() {
                    self.begin(index, depth)?;
                    self.value(item, depth + 1)?;
                }
                self.line(depth - 1)?;
                self.out.push(']');
            }
            Value::Dict(dict) if dict.items.is_empty() => self.out.push_str("{}"),
            Value::Dict(dict) => self.dict(dict, depth)?,
            other => {
                return Err(Error::failed(format!(
                    "Object of type {} is not JSON serializable",
                    other.type_name()
                )));
            }
        }
        if self.out.len() > self.most {
            Err(Error::fuel())
        } else {
            Ok(())
        }
    }

    fn dict(&mut self, dict: &Dict, depth: usize) -> Result<(), Error> {
        let mut items: Vec<(&Key, &Value)> = dict.items.iter().collect();
        if self.sort_keys {
            let strings = items.iter().all(|(key, _)| matches!(key.0, Value::Str(_)));
            let numbers = items
                .iter()
                .all(|(key, _)| key.0.as_number().is_some_and(|number| !number.is_nan()));
            if strings {
                items.sort_by(|(a, _), (b, _)| a.0.as_str().cmp(&b.0.as_str()));
            } else if numbers {
                let number = |key: &Key| key.0.as_number().unwrap_or(0.0);
                items.sort_by(|(a, _), (b, _)| number(a).total_cmp(&number(b)));
            } else if items.len() > 1 {
                return Err(Error::failed("keys of different types have no order"));
            }
        }
        self.out.push('{');
        for (index, (key, value)) in items.into_iter().enumerate() {
            self.begin(index, depth)?;
            match &key.0 {
                Value::Str(text) => self.string(&text.text),
                Value::Bool(true) => self.out.push_str("\"true\""),
                Value::Bool(false) => self.out.push_str("\"false\""),
                Value::None => self.out.push_str("\"null\""),
                Value::Int(number) => self.string(&number.to_string()),
                Value::Float(number) => self.string(&float(*number)),
                other => {
                    return Err(Error::failed(format!(
                        "a key can't be of type {}",
                        other.type_name()
                    )));
                }
            }
            self.out.push_str(self.key_separator);
            self.value(value, depth + 1)?;
        }
        self.line(depth - 1)?;
        self.out.push('}');
        Ok(())
    }

    fn begin(&mut self, index: usize, depth: usize) -> Result<(), Error> {
        if index > 0 {
            self.out.push_str(self.item_separator);
        }
        self.line(depth)
    }

    fn line(&mut self, depth: usize) -> Result<(), Error> {
        let Some(indent) = self.indent else {
            return Ok(());
        };
        if self
            .out
            .len()
            .saturating_add(indent.len().saturating_mul(depth))
            > self.most
        {
            return Err(Error::fuel());
        }
        self.out.push('\n');
        self.out.push_str(&indent.repeat(depth));
        Ok(())
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for character in text.chars() {
            match character {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\x08' => self.out.push_str("\\b"),
                '\x0c' => self.out.push_str("\\f"),
                c if c < ' ' || self.ascii && !(' '..='~').contains(&c) => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        self.out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }
}

fn float(number: f64) -> String {
    if number.is_nan() {
        "NaN".into()
    } else if number.is_infinite() {
        if number > 0.0 {
            "Infinity".into()
        } else {
            "-Infinity".into()
        }
    } else {
        float_repr(number)
    }
}
