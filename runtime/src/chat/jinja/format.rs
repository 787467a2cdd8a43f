//! What Python's two ways to format share: text and numbers in a width. `'%s' % value` is in
//! `format_percent`, `'{}'.format(value)` in `format_braces`.
//!
//! Widths and precisions are paid for before anything is written, and no precision is handed to
//! Rust's formatter that it would refuse.

use super::error::Error;
use super::interpreter::Interpreter;
use super::text::float_repr;
use super::value::Value;

/// Digits after the point. A float has no more than these that are not zero.
const MAX_PRECISION: usize = 1100;

/// How one value is written, after either kind of directive.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spec {
    pub fill: Option<char>,
    pub align: Option<char>,
    pub sign: Option<char>,
    pub alternate: bool,
    pub zero: bool,
    pub width: usize,
    pub grouping: Option<char>,
    pub precision: Option<usize>,
    pub kind: Option<char>,
}

impl Interpreter<'_> {
    /// `str`, or the conversion of `!r` or `!a`.
    pub fn converted(&mut self, value: &Value, conversion: Option<char>) -> Result<String, Error> {
        self.charge_repr(value)?;
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
            self.charge(out.len())?;
            out = out.chars().map(escaped).collect();
        }
        Ok(out)
    }

    pub fn pad_text(&mut self, text: &str, spec: Spec) -> Result<String, Error> {
        let cut: String = match spec.precision {
            Some(most) => text.chars().take(most).collect(),
            None => text.into(),
        };
        self.fill_up(&cut, spec, '<')
    }

    pub fn fill_up(&mut self, text: &str, spec: Spec, default: char) -> Result<String, Error> {
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
    pub fn pad_number(
        &mut self,
        negative: bool,
        prefix: &str,
        digits: &str,
        spec: Spec,
    ) -> Result<String, Error> {
        let sign = match spec.sign {
            _ if negative => "-",
            Some('+') => "+",
            Some(' ') => " ",
            _ => "",
        };
        let zeros =
            spec.zero && spec.align != Some('<') && spec.fill.is_none_or(|fill| fill == '0');
        let inside = spec.align == Some('=')
            || zeros && spec.align.is_none_or(|align| align == '>' || align == '=');
        if !inside {
            let text = format!("{sign}{prefix}{digits}");
            let spec = Spec {
                zero: false,
                ..spec
            };
            return self.fill_up(&text, spec, '>');
        }
        let used = sign.len() + prefix.len();
        let fill = spec.fill.unwrap_or(if spec.zero { '0' } else { ' ' });
        let wanted = spec.width.saturating_sub(used);
        self.charge_bytes(wanted.saturating_mul(fill.len_utf8()))?;
        let length = digits.chars().count();
        if spec.grouping.is_some() && wanted > MAX_PRECISION {
            return Err(Error::failed(format!(
                "a grouped number can't be {wanted} characters wide"
            )));
        }
        let body = match spec.grouping {
            Some(separator) if fill == '0' && wanted > length => {
                group_zeros(digits, separator, wanted)
            }
            _ => format!(
                "{}{digits}",
                fill.to_string().repeat(wanted.saturating_sub(length))
            ),
        };
        Ok(format!("{sign}{prefix}{body}"))
    }

    pub fn float(&mut self, number: f64, spec: Spec) -> Result<String, Error> {
        let kind = spec.kind;
        let precision = spec.precision.unwrap_or(6);
        if precision > MAX_PRECISION {
            return Err(Error::failed(format!(
                "{precision} digits; at most {MAX_PRECISION} are supported"
            )));
        }
        // Digits take longer than bytes.
        self.charge(precision)?;
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
            let whole = digits
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(digits.len());
            digits = format!(
                "{}{}",
                group(&digits[..whole], separator, 3),
                &digits[whole..]
            );
        }
        let negative = number.is_sign_negative() && !number.is_nan();
        let spec = if number.is_finite() {
            spec
        } else {
            Spec {
                zero: false,
                ..spec
            }
        };
        self.pad_number(negative, "", &digits, spec)
    }
}

pub(super) fn number(
    rest: &mut std::iter::Peekable<std::str::Chars<'_>>,
) -> Result<Option<usize>, Error> {
    let mut number: Option<usize> = None;
    while let Some(digit) = rest.peek().and_then(|c| c.to_digit(10)) {
        rest.next();
        let grown = number
            .unwrap_or(0)
            .checked_mul(10)
            .and_then(|number| number.checked_add(digit as usize));
        number = Some(grown.ok_or_else(|| Error::failed("a width is too large"))?);
    }
    Ok(number)
}

pub(super) fn to_radix(number: u128, radix: u32) -> String {
    match radix {
        16 => format!("{number:x}"),
        8 => format!("{number:o}"),
        2 => format!("{number:b}"),
        _ => number.to_string(),
    }
}

pub(super) fn group(digits: &str, separator: char, size: usize) -> String {
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
    let whole = grouped
        .find(|c: char| !(c.is_ascii_hexdigit() || c == separator))
        .unwrap_or(grouped.len());
    let (whole, tail) = grouped.split_at(whole);
    let digits: String = whole.chars().filter(|c| *c != separator).collect();
    // Of n digits, the length with separators is n + (n - 1) / 3.
    let mut count = digits.len();
    while count + count.saturating_sub(1) / 3 + tail.len() < wanted {
        count += 1;
    }
    let zeros = "0".repeat(count - digits.len());
    group(&format!("{zeros}{digits}"), separator, 3) + tail
}

/// `1.5e+00`.
fn exponent(number: f64, precision: usize) -> String {
    let text = format!("{number:.precision$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    format!(
        "{mantissa}e{}{:02}",
        if exponent < 0 { '-' } else { '+' },
        exponent.abs()
    )
}

fn without_zeros(text: &str) -> &str {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        text
    }
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
    let power: i32 = text
        .split_once('e')
        .and_then(|(_, power)| power.parse().ok())
        .unwrap_or(0);
    if power < lowest || power >= precision as i32 {
        return if keep_zeros {
            exponent(number, precision - 1)
        } else {
            exponent_without_zeros(number, precision)
        };
    }
    let places = (precision as i32 - 1 - power).max(0) as usize;
    let text = format!("{number:.places$}");
    if keep_zeros {
        text
    } else {
        without_zeros(&text).to_owned()
    }
}
