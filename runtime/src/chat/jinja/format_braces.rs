//! Python's `'{}'.format(value)`.

use std::sync::Arc;

use super::call::Call;
use super::error::Error;
use super::format::{Spec, group, number, to_radix};
use super::interpreter::Interpreter;
use super::text::shown;
use super::value::Value;

impl Interpreter<'_> {
    /// `format.format(…)`.
    pub fn brace_format(&mut self, format: &str, call: Call) -> Result<Arc<str>, Error> {
        let mut numbering = Numbering::Unknown;
        let out = self.braces(format, &call, &mut numbering, 2)?;
        Ok(out.into())
    }

    fn braces(
        &mut self,
        format: &str,
        call: &Call,
        numbering: &mut Numbering,
        levels: u32,
    ) -> Result<String, Error> {
        if levels == 0 {
            return Err(Error::failed("a format is nested too deep"));
        }
        self.charge_bytes(format.len())?;
        let mut out = String::new();
        let mut rest = format;
        while let Some(at) = rest.find(['{', '}']) {
            out.push_str(&rest[..at]);
            let brace = &rest[at..at + 1];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                out.push_str(brace);
                rest = after;
                continue;
            }
            if brace == "}" {
                return Err(Error::failed("a single '}' in a format"));
            }
            let end = closing(rest).ok_or_else(|| Error::failed("a '{' in a format has no '}'"))?;
            let field = &rest[..end];
            rest = &rest[end + 1..];
            let text = self.field(field, call, numbering, levels)?;
            self.charge_bytes(text.len())?;
            out.push_str(&text);
        }
        out.push_str(rest);
        Ok(out)
    }

    fn field(
        &mut self,
        field: &str,
        call: &Call,
        numbering: &mut Numbering,
        levels: u32,
    ) -> Result<String, Error> {
        // The name ends at the first `!` or `:` outside of brackets.
        let mut bracketed = false;
        let end = field.find(|c| {
            bracketed = c == '[' || bracketed && c != ']';
            !bracketed && (c == '!' || c == ':')
        });
        let (name, tail) = field.split_at(end.unwrap_or(field.len()));
        let (conversion, spec) = match tail.strip_prefix('!') {
            Some(tail) => {
                let mut characters = tail.chars();
                let conversion = characters
                    .next()
                    .ok_or_else(|| Error::failed("a conversion is missing"))?;
                let spec = characters.as_str();
                if !(spec.is_empty() || spec.starts_with(':')) {
                    return Err(Error::failed("expected ':' after a conversion"));
                }
                (Some(conversion), spec.strip_prefix(':').unwrap_or(""))
            }
            None => (None, tail.strip_prefix(':').unwrap_or("")),
        };
        let value = self.field_value(name, call, numbering)?;
        let spec = if spec.contains(['{', '}']) {
            self.braces(spec, call, numbering, levels - 1)?
        } else {
            spec.to_owned()
        };
        if let Some(conversion) = conversion {
            let text = self.converted(&value, Some(conversion))?;
            return self.format_value(&Value::from(text), &spec);
        }
        self.format_value(&value, &spec)
    }

    fn field_value(
        &mut self,
        name: &str,
        call: &Call,
        numbering: &mut Numbering,
    ) -> Result<Value, Error> {
        let end = name.find(['.', '[']).unwrap_or(name.len());
        let (first, mut rest) = name.split_at(end);
        let index = if first.is_empty() {
            Some(numbering.next()?)
        } else if first.bytes().all(|b| b.is_ascii_digit()) {
            numbering.manual()?;
            Some(first.parse().unwrap_or(usize::MAX))
        } else {
            None
        };
        if index.is_none() {
            self.charge_names(first, call.keywords.len())?;
        }
        let value = match index {
            Some(index) => call.positional.get(index),
            None => call
                .keywords
                .iter()
                .find(|(name, _)| **name == *first)
                .map(|(_, value)| value),
        };
        let mut value = value.cloned().ok_or_else(|| {
            Error::failed(format!("a format has no value for {:?}", shown(first)))
        })?;
        while !rest.is_empty() {
            self.charge(1)?;
            if let Some(after) = rest.strip_prefix('.') {
                let end = after.find(['.', '[']).unwrap_or(after.len());
                if end == 0 {
                    return Err(Error::failed("an attribute in a format has no name"));
                }
                value = self.attribute(&value, &after[..end].into())?;
                rest = &after[end..];
            } else {
                let after = rest
                    .strip_prefix('[')
                    .ok_or_else(|| Error::failed("expected '.' or '[' after ']'"))?;
                let end = after.find(']').filter(|end| *end > 0);
                let end = end
                    .ok_or_else(|| Error::failed("an index in a format is empty or has no ']'"))?;
                let key = after[..end]
                    .parse()
                    .map_or_else(|_| Value::from(&after[..end]), Value::Int);
                value = self.item(&value, &key)?;
                rest = &after[end + 1..];
            }
        }
        Ok(value)
    }

    /// Python's `format(value, spec)`.
    fn format_value(&mut self, value: &Value, spec: &str) -> Result<String, Error> {
        if spec.is_empty() {
            return self.stringify(value).map(|text| text.to_string());
        }
        let text = spec;
        let spec = parse_spec(spec)?;
        let wrong = || {
            Error::failed(format!(
                "the format {:?} does not suit '{}'",
                shown(text),
                value.type_name()
            ))
        };
        match value {
            Value::Str(own) => {
                let kind = spec.kind.unwrap_or('s');
                if kind != 's' || spec.sign.is_some() || spec.alternate || spec.grouping.is_some() {
                    return Err(wrong());
                }
                if spec.align == Some('=') {
                    return Err(wrong());
                }
                self.pad_text(&own.text, spec)
            }
            Value::Float(number) => match spec.kind {
                None | Some('e' | 'E' | 'f' | 'F' | 'g' | 'G' | 'n' | '%') => {
                    self.float(*number, spec)
                }
                _ => Err(wrong()),
            },
            Value::Int(_) | Value::Bool(_) => {
                let number = value.as_int().unwrap_or(0);
                match spec.kind {
                    Some('e' | 'E' | 'f' | 'F' | 'g' | 'G' | '%') => {
                        self.float(number as f64, spec)
                    }
                    Some('c') => {
                        if spec.sign.is_some() || spec.precision.is_some() {
                            return Err(wrong());
                        }
                        let character = u32::try_from(number)
                            .ok()
                            .and_then(char::from_u32)
                            .ok_or_else(wrong)?;
                        self.fill_up(&character.to_string(), spec, '<')
                    }
                    None | Some('d' | 'n' | 'x' | 'X' | 'o' | 'b') => {
                        if spec.precision.is_some() {
                            return Err(wrong());
                        }
                        let radix = match spec.kind {
                            Some('x' | 'X') => 16,
                            Some('o') => 8,
                            Some('b') => 2,
                            _ => 10,
                        };
                        let mut digits = to_radix(number.unsigned_abs(), radix);
                        if spec.kind == Some('X') {
                            digits = digits.to_uppercase();
                        }
                        if let Some(separator) = spec.grouping {
                            if separator == ',' && radix != 10 {
                                return Err(wrong());
                            }
                            digits = group(&digits, separator, if radix == 10 { 3 } else { 4 });
                        }
                        let prefix = match spec.kind {
                            Some(kind @ ('x' | 'X' | 'o' | 'b')) if spec.alternate => {
                                format!("0{kind}")
                            }
                            _ => String::new(),
                        };
                        self.pad_number(number < 0, &prefix, &digits, spec)
                    }
                    _ => Err(wrong()),
                }
            }
            _ => Err(wrong()),
        }
    }
}

/// Whether fields are numbered by their order or by their names: not both.
enum Numbering {
    Unknown,
    Automatic(usize),
    Manual,
}

impl Numbering {
    fn next(&mut self) -> Result<usize, Error> {
        let index = match self {
            Self::Unknown => 0,
            Self::Automatic(index) => *index,
            Self::Manual => {
                return Err(Error::failed(
                    "numbered fields can't be followed by unnumbered ones",
                ));
            }
        };
        *self = Self::Automatic(index + 1);
        Ok(index)
    }

    fn manual(&mut self) -> Result<(), Error> {
        if matches!(self, Self::Automatic(_)) {
            return Err(Error::failed(
                "unnumbered fields can't be followed by numbered ones",
            ));
        }
        *self = Self::Manual;
        Ok(())
    }
}

/// Where the brace closes that was opened just before the text.
fn closing(text: &str) -> Option<usize> {
    let mut open = 1;
    text.char_indices().find_map(|(at, character)| {
        match character {
            '{' => open += 1,
            '}' => open -= 1,
            _ => {}
        }
        (open == 0).then_some(at)
    })
}

fn parse_spec(text: &str) -> Result<Spec, Error> {
    let mut spec = Spec::default();
    let mut rest = text.chars().peekable();
    let is_align = |c: &char| matches!(c, '<' | '>' | '=' | '^');
    if text.chars().nth(1).as_ref().is_some_and(is_align) {
        spec.fill = rest.next();
        spec.align = rest.next();
    } else {
        spec.align = rest.next_if(is_align);
    }
    spec.sign = rest.next_if(|c| matches!(c, '+' | '-' | ' '));
    rest.next_if_eq(&'z');
    spec.alternate = rest.next_if_eq(&'#').is_some();
    if rest.next_if_eq(&'0').is_some() {
        spec.zero = spec.fill.is_none();
    }
    spec.width = number(&mut rest)?.unwrap_or(0);
    spec.grouping = rest.next_if(|c| matches!(c, ',' | '_'));
    if rest.next_if_eq(&'.').is_some() {
        let precision = number(&mut rest)?;
        spec.precision = Some(precision.ok_or_else(|| Error::failed("a precision is missing"))?);
    }
    spec.kind = rest.next();
    if rest.next().is_some() {
        return Err(Error::failed(format!(
            "the format {:?} is not valid",
            shown(text)
        )));
    }
    Ok(spec)
}
