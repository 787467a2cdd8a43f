//! Filters of text.

use super::call::{Call, int, text, width};
use super::error::Error;
use super::filters::exists;
use super::interpreter::Interpreter;
use super::methods_split::split_lines;
use super::text::{capitalize, escape_html, is_line_end, is_space, shown};
use super::value::{Key, Text, Value};

impl Interpreter<'_> {
    pub fn text_filter(&mut self, name: &str, value: Value, call: Call) -> Result<Value, Error> {
        let own = match &value {
            Value::Str(text) => text.clone(),
            other => Text {
                text: self.stringify(other)?,
                safe: false,
            },
        };
        self.charge_bytes(own.text.len())?;
        let result = |text: String| Ok(Value::text(text, own.safe));
        match name {
            "string" => call.none(name).map(|()| Value::Str(own)),
            "upper" => call
                .none(name)
                .and_then(|()| result(own.text.to_uppercase())),
            "lower" => call
                .none(name)
                .and_then(|()| result(own.text.to_lowercase())),
            "capitalize" => call.none(name).and_then(|()| result(capitalize(&own.text))),
            "title" => call.none(name).map(|()| Value::from(title(&own.text))),
            "trim" => {
                let [characters] = call.bind(name, ["chars"])?;
                let call = Call {
                    positional: characters.into_iter().collect(),
                    keywords: Vec::new(),
                };
                self.method(&Value::Str(own), "strip", call)
            }
            "replace" => {
                let [old, new, count] = call.bind_required(name, ["old", "new", "count"], 2)?;
                let old = self.stringify(&old.unwrap_or(Value::None))?;
                let new = self.stringify(&new.unwrap_or(Value::None))?;
                let count = count.filter(|count| !matches!(count, Value::None));
                let count = count.as_ref().map_or(Ok(-1), int)?;
                self.replaced(&own.text, &old, &new, count).map(Value::from)
            }
            "format" => {
                if !call.positional.is_empty() && !call.keywords.is_empty() {
                    return Err(Error::failed(
                        "`format` takes arguments by position or by name, not both",
                    ));
                }
                for (name, _) in &call.keywords {
                    self.charge_bytes(name.len())?;
                }
                let values = if call.keywords.is_empty() {
                    self.tuple(call.positional)?
                } else {
                    let pairs = call.keywords.into_iter();
                    self.dict(
                        pairs
                            .map(|(name, value)| (Key(Value::text(name, false)), value))
                            .collect(),
                    )?
                };
                self.percent_format(&own, &values)
            }
            "safe" => call.none(name).map(|()| Value::text(own.text, true)),
            "escape" | "e" if own.safe => call.none(name).map(|()| Value::Str(own)),
            "escape" | "e" | "forceescape" => {
                call.none(name)?;
                self.charge_bytes(5 * own.text.len())?;
                Ok(Value::text(escape_html(&own.text), true))
            }
            "center" => {
                let [width] = call.bind(name, ["width"])?;
                let width = width.unwrap_or(Value::Int(80));
                self.method(
                    &Value::Str(own),
                    name,
                    Call {
                        positional: vec![width],
                        keywords: Vec::new(),
                    },
                )
            }
            "wordcount" => {
                call.none(name)?;
                let words = own.text.split(|c: char| !(c.is_alphanumeric() || c == '_'));
                Ok(Value::Int(
                    words.filter(|word| !word.is_empty()).count() as i128
                ))
            }
            "indent" => self.indent(&value, call),
            "truncate" => self.truncate(&value, call),
            _ if exists(name) => Err(Error::failed(format!(
                "the filter `{name}` is not supported"
            ))),
            _ => Err(Error::failed(format!(
                "there is no filter `{}`",
                shown(name)
            ))),
        }
    }

    fn indent(&mut self, value: &Value, call: Call) -> Result<Value, Error> {
        let [width_value, first, blank] = call.bind("indent", ["width", "first", "blank"])?;
        let Value::Str(own) = value else {
            return Err(Error::failed(format!(
                "`indent` needs a string, not '{}'",
                value.type_name()
            )));
        };
        let indention = match width_value {
            Some(Value::Str(text)) => {
                self.charge_bytes(text.text.len())?;
                text.text.to_string()
            }
            Some(other) => {
                let width = width(&other)?;
                self.charge_bytes(width)?;
                " ".repeat(width)
            }
            None => "    ".into(),
        };
        let truth = |value: Option<Value>| value.is_some_and(|value| value.is_true());
        let (first, blank) = (truth(first), truth(blank));
        self.charge(own.text.chars().filter(|c| is_line_end(*c)).count())?;
        let with_end = format!("{}\n", own.text);
        let lines = split_lines(&with_end, false);
        let size = lines
            .len()
            .saturating_mul(indention.len() + 1)
            .saturating_add(own.text.len());
        self.charge_bytes(size)?;
        let mut out = String::with_capacity(size);
        for (number, line) in lines.iter().enumerate() {
            let indented = if number == 0 {
                first
            } else {
                blank || !line.is_empty()
            };
            out.push_str(if number == 0 { "" } else { "\n" });
            out.push_str(if indented { &indention } else { "" });
            out.push_str(line);
        }
        Ok(Value::text(out, own.safe))
    }

    fn truncate(&mut self, value: &Value, call: Call) -> Result<Value, Error> {
        let [length, kill_words, end, leeway] =
            call.bind("truncate", ["length", "killwords", "end", "leeway"])?;
        let Value::Str(own) = value else {
            return Err(Error::failed(format!(
                "`truncate` needs a string, not '{}'",
                value.type_name()
            )));
        };
        let length = length.as_ref().map_or(Ok(255), width)?;
        let leeway = leeway.filter(|leeway| !matches!(leeway, Value::None));
        let leeway = leeway.as_ref().map_or(Ok(5), width)?;
        let end = end.unwrap_or_else(|| Value::from("..."));
        let end = text(&end)?;
        self.charge_bytes(end.len())?;
        let kept = length.checked_sub(end.chars().count());
        let kept =
            kept.ok_or_else(|| Error::failed("`truncate` needs a length of its end at least"))?;
        if own.text.chars().count() <= length.saturating_add(leeway) {
            return Ok(value.clone());
        }
        let mut out: String = own.text.chars().take(kept).collect();
        if !kill_words.is_some_and(|kill| kill.is_true())
            && let Some(at) = out.rfind(' ')
        {
            out.truncate(at);
        }
        out.push_str(end);
        Ok(Value::text(out, own.safe))
    }
}

/// jinja2's own `title`: words begin after spaces, hyphens and opening brackets.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut begins = true;
    for character in text.chars() {
        let separates = is_space(character) || matches!(character, '-' | '(' | '{' | '[' | '<');
        if separates {
            out.push(character);
        } else if begins {
            out.extend(character.to_uppercase());
        } else {
            out.extend(character.to_lowercase());
        }
        begins = separates;
    }
    out
}
