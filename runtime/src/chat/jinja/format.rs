//! Python's two ways to format: `'%s' % value` and `'{}'.format(value)`.
//!
//! Widths and precisions are paid for before anything is written, and no precision is handed to
//! Rust's formatter that it would refuse.

use std::sync::Arc;

use super::call::Call;
use super::error::Error;
use super::interpreter::Interpreter;
use super::text::{escape_html, float_repr};
use super::value::{Text, Value};

/// Digits after the point. A float has no more than these that are not zero.
const MAX_PRECISION: usize = 1100;

/// How one value is written, after either kind of directive.
#[derive(Clone, Copy, Debug, Default)]
struct Spec {
    fill: Option<char>,
    align: Option<char>,
    sign: Option<char>,
    alternate: bool,
    zero: bool,
    width: usize,
    grouping: Option<char>,
    precision: Option<usize>,
    kind: Option<char>,
}

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
            let mut spec = Spec { align: Some('>'), ..Spec::default() };
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
            let kind = rest.next().ok_or_else(|| Error::failed("incomplete format"))?;
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
            return Err(Error::failed("not all arguments converted during string formatting"));
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
            let character = rest.next().ok_or_else(|| Error::failed("incomplete format key"))?;
            match character {
                '(' => open += 1,
                ')' if open == 1 => break,
                ')' => open -= 1,
                _ => {}
            }
            name.push(character);
        }
        let Value::Dict(dict) = values else { return Err(Error::failed("format requires a mapping")) };
        dict.get(&name).cloned().ok_or_else(|| Error::failed(format!("the mapping has no key {name:?}")))
    }

    fn percent_value(&mut self, kind: char, value: &Value, mut spec: Spec) -> Result<String, Error> {
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
                        let code = other.as_int().and_then(|code| u32::try_from(code).ok()).and_then(char::from_u32);
                        code.ok_or_else(|| Error::failed("%c needs a character or its number"))?.to_string()
                    }
                };
                self.pad_text(&character, spec)
            }
            'd' | 'i' | 'u' => {
                let number = match value {
                    Value::Float(number) if number.is_finite() && number.abs() < 1e38 => number.trunc() as i128,
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
                let number = number.ok_or_else(|| Error::failed(format!("%{kind} needs a number")))?;
                spec.kind = Some(kind);
                self.float(number, spec)
            }
            other => Err(Error::failed(format!("unsupported format character {other:?}"))),
        }
    }

    /// An integer whose precision is its least number of digits.
    fn number_with_digits(&mut self, number: i128, radix: u32, mut spec: Spec) -> Result<String, Error> {
        let mut digits = to_radix(number.unsigned_abs(), radix);
        if spec.kind == Some('X') {
            digits = digits.to_uppercase();
        }
        if let Some(precision) = spec.precision.take() {
            self.charge_bytes(precision)?;
            digits = format!("{}{digits}", "0".repeat(precision.saturating_sub(digits.len())));
        }
        let prefix = match spec.kind {
            Some(kind @ ('x' | 'X' | 'o')) if spec.alternate => format!("0{kind}"),
            _ => String::new(),
        };
        self.pad_number(number < 0, &prefix, &digits, spec)
    }

    /// `str`, or what `!r` and `!a` convert to.
    fn converted(&mut self, value: &Value, conversion: Option<char>) -> Result<String, Error> {
        self.charge_bytes(value.extent().bytes.saturating_mul(2))?;
        let mut out = String::new();
        match conversion {
            None | Some('s') => value.write_str(&mut out),
            Some('r' | 'a') => value.write_repr(&mut out),
            Some(other) => return Err(Error::failed(format!("unknown conversion {other:?}"))),
        }
        if conversion == Some('a') {
            let escaped = |c: char| match u32::from(c) {
                0..=0x7F => c.to_string(),
                code @ 0x80..=0xFF => format!("\\x{code:02x}"),
                code @ 0x100..=0xFFFF => format!("\\u{code:04x}"),
                code => format!("\\U{code:08x}"),
            };
            out = out.chars().map(escaped).collect();
        }
        Ok(out)
    }

    fn pad_text(&mut self, text: &str, spec: Spec) -> Result<String, Error> {
        let cut: String = match spec.precision {
            Some(most) => text.chars().take(most).collect(),
            None => text.into(),
        };
        self.fill_up(&cut, spec, '<')
    }

    fn fill_up(&mut self, text: &str, spec: Spec, default: char) -> Result<String, Error> {
        let fill = spec.fill.unwrap_or(if spec.zero { '0' } else { ' ' });
        let missing = spec.width.saturating_sub(text.chars().count());
        self.charge_bytes(missing.saturating_mul(fill.len_utf8()))?;
        self.charge_bytes(text.len())?;
        let left = match spec.align.unwrap_or(default) {
            '<' => 0,
            '^' => missing / 2,
            _ => missing,
        };
        let pad = |count: usize| fill.to_string().repeat(count);
        Ok(format!("{}{text}{}", pad(left), pad(missing - left)))
    }

    /// A number: its sign and prefix stand before zeros that fill it up.
    fn pad_number(&mut self, negative: bool, prefix: &str, digits: &str, spec: Spec) -> Result<String, Error> {
        let sign = match spec.sign {
            _ if negative => "-",
            Some('+') => "+",
            Some(' ') => " ",
            _ => "",
        };
        let zeros = spec.zero && spec.align != Some('<') && spec.fill.is_none_or(|fill| fill == '0');
        let inside = spec.align == Some('=') || zeros && spec.align.is_none_or(|align| align == '>' || align == '=');
        if !inside {
            let text = format!("{sign}{prefix}{digits}");
            let spec = Spec { zero: false, ..spec };
            return self.fill_up(&text, spec, '>');
        }
        let used = sign.len() + prefix.len();
        let fill = spec.fill.unwrap_or(if spec.zero { '0' } else { ' ' });
        let wanted = spec.width.saturating_sub(used);
        self.charge_bytes(wanted.saturating_mul(fill.len_utf8()))?;
        let length = digits.chars().count();
        if spec.grouping.is_some() && wanted > MAX_PRECISION {
            return Err(Error::failed(format!("a grouped number can't be {wanted} characters wide")));
        }
        let body = match spec.grouping {
            Some(separator) if fill == '0' && wanted > length => group_zeros(digits, separator, wanted),
            _ => format!("{}{digits}", fill.to_string().repeat(wanted.saturating_sub(length))),
        };
        Ok(format!("{sign}{prefix}{body}"))
    }

    fn float(&mut self, number: f64, spec: Spec) -> Result<String, Error> {
        let kind = spec.kind;
        let precision = spec.precision.unwrap_or(6);
        if precision > MAX_PRECISION {
            return Err(Error::failed(format!("{precision} digits; at most {MAX_PRECISION} are supported")));
        }
        let magnitude = number.abs();
        let mut digits = if !number.is_finite() {
            float_repr(magnitude)
        } else {
            match kind.map(|kind| kind.to_ascii_lowercase()) {
                Some('f') => format!("{magnitude:.precision$}"),
                Some('%') => format!("{:.precision$}%", magnitude * 100.0),
                Some('e') => exponent(magnitude, precision),
                Some('g' | 'n') => general(magnitude, precision, spec.alternate, -4),
                _ if spec.precision.is_some() => {
                    // Like `g`, with a digit after the point at least.
                    let text = general(magnitude, precision, false, -4);
                    let whole = !text.contains(['.', 'e']);
                    let fits = text.len() < precision.max(1);
                    match (whole, fits) {
                        (true, true) => format!("{text}.0"),
                        (true, false) => exponent_without_zeros(magnitude, precision),
                        _ => text,
                    }
                }
                _ => float_repr(magnitude),
            }
        };
        if kind.is_some_and(|kind| kind.is_ascii_uppercase()) {
            digits = digits.to_uppercase();
        }
        if let Some(separator) = spec.grouping {
            let whole = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
            digits = format!("{}{}", group(&digits[..whole], separator, 3), &digits[whole..]);
        }
        let negative = number.is_sign_negative() && !number.is_nan();
        let spec = if number.is_finite() { spec } else { Spec { zero: false, ..spec } };
        self.pad_number(negative, "", &digits, spec)
    }

    /// `format.format(…)`.
    pub fn brace_format(&mut self, format: &str, call: Call) -> Result<Arc<str>, Error> {
        let mut numbering = Numbering::Unknown;
        let out = self.braces(format, &call, &mut numbering, 2)?;
        Ok(out.into())
    }

    fn braces(&mut self, format: &str, call: &Call, numbering: &mut Numbering, levels: u32) -> Result<String, Error> {
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

    fn field(&mut self, field: &str, call: &Call, numbering: &mut Numbering, levels: u32) -> Result<String, Error> {
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
                let conversion = characters.next().ok_or_else(|| Error::failed("a conversion is missing"))?;
                let spec = characters.as_str();
                if !(spec.is_empty() || spec.starts_with(':')) {
                    return Err(Error::failed("expected ':' after a conversion"));
                }
                (Some(conversion), spec.strip_prefix(':').unwrap_or(""))
            }
            None => (None, tail.strip_prefix(':').unwrap_or("")),
        };
        let value = self.field_value(name, call, numbering)?;
        let spec =
            if spec.contains(['{', '}']) { self.braces(spec, call, numbering, levels - 1)? } else { spec.to_owned() };
        if let Some(conversion) = conversion {
            let text = self.converted(&value, Some(conversion))?;
            return self.format_value(&Value::from(text), &spec);
        }
        self.format_value(&value, &spec)
    }

    fn field_value(&mut self, name: &str, call: &Call, numbering: &mut Numbering) -> Result<Value, Error> {
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
        let value = match index {
            Some(index) => call.positional.get(index),
            None => call.keywords.iter().find(|(name, _)| **name == *first).map(|(_, value)| value),
        };
        let mut value = value.cloned().ok_or_else(|| Error::failed(format!("a format has no value for {first:?}")))?;
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
                let after = rest.strip_prefix('[').ok_or_else(|| Error::failed("expected '.' or '[' after ']'"))?;
                let end = after.find(']').filter(|end| *end > 0);
                let end = end.ok_or_else(|| Error::failed("an index in a format is empty or has no ']'"))?;
                let key = after[..end].parse().map_or_else(|_| Value::from(&after[..end]), Value::Int);
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
        let wrong = || Error::failed(format!("the format {text:?} does not suit '{}'", value.type_name()));
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
                None | Some('e' | 'E' | 'f' | 'F' | 'g' | 'G' | 'n' | '%') => self.float(*number, spec),
                _ => Err(wrong()),
            },
            Value::Int(_) | Value::Bool(_) => {
                let number = value.as_int().unwrap_or(0);
                match spec.kind {
                    Some('e' | 'E' | 'f' | 'F' | 'g' | 'G' | '%') => self.float(number as f64, spec),
                    Some('c') => {
                        if spec.sign.is_some() || spec.precision.is_some() {
                            return Err(wrong());
                        }
                        let character = u32::try_from(number).ok().and_then(char::from_u32).ok_or_else(wrong)?;
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
                            Some(kind @ ('x' | 'X' | 'o' | 'b')) if spec.alternate => format!("0{kind}"),
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
            Self::Manual => return Err(Error::failed("numbered fields can't be followed by unnumbered ones")),
        };
        *self = Self::Automatic(index + 1);
        Ok(index)
    }

    fn manual(&mut self) -> Result<(), Error> {
        if matches!(self, Self::Automatic(_)) {
            return Err(Error::failed("unnumbered fields can't be followed by numbered ones"));
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

fn number(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Option<usize>, Error> {
    let mut number: Option<usize> = None;
    while let Some(digit) = rest.peek().and_then(|c| c.to_digit(10)) {
        rest.next();
        let grown = number.unwrap_or(0).checked_mul(10).and_then(|number| number.checked_add(digit as usize));
        number = Some(grown.ok_or_else(|| Error::failed("a width is too large"))?);
    }
    Ok(number)
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
        return Err(Error::failed(format!("the format {text:?} is not valid")));
    }
    Ok(spec)
}

fn to_radix(number: u128, radix: u32) -> String {
    match radix {
        16 => format!("{number:x}"),
        8 => format!("{number:o}"),
        2 => format!("{number:b}"),
        _ => number.to_string(),
    }
}

fn group(digits: &str, separator: char, size: usize) -> String {
    let mut out = String::with_capacity(digits.len() * 4 / 3 + 1);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(size) {
            out.push(separator);
        }
        out.push(digit);
    }
    out
}

/// Grouped digits, filled with zeros that are grouped too.
fn group_zeros(grouped: &str, separator: char, wanted: usize) -> String {
    let whole = grouped.find(|c: char| !(c.is_ascii_hexdigit() || c == separator)).unwrap_or(grouped.len());
    let (whole, tail) = grouped.split_at(whole);
    let mut digits: String = whole.chars().filter(|c| *c != separator).collect();
    let mut out = group(&digits, separator, 3);
    while out.len() + tail.len() < wanted {
        digits.insert(0, '0');
        out = group(&digits, separator, 3);
    }
    out + tail
}

/// `1.5e+00`.
fn exponent(number: f64, precision: usize) -> String {
    let text = format!("{number:.precision$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

fn without_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

fn exponent_without_zeros(number: f64, precision: usize) -> String {
    let text = exponent(number, precision.saturating_sub(1));
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "+00"));
    format!("{}e{exponent}", without_zeros(mantissa))
}

/// `precision` significant digits, with an exponent where the number is very large or small.
fn general(number: f64, precision: usize, keep_zeros: bool, lowest: i32) -> String {
    let precision = precision.max(1);
    let text = format!("{number:.*e}", precision - 1);
    let power: i32 = text.split_once('e').and_then(|(_, power)| power.parse().ok()).unwrap_or(0);
    if power < lowest || power >= precision as i32 {
        return if keep_zeros { exponent(number, precision - 1) } else { exponent_without_zeros(number, precision) };
    }
    let places = (precision as i32 - 1 - power).max(0) as usize;
    let text = format!("{number:.places$}");
    if keep_zeros { text } else { without_zeros(&text).to_owned() }
}
