//! Methods of strings that fill them up: `center`, `ljust`, `rjust`, `zfill` and `expandtabs`.

use super::call::{Call, text, width};
use super::error::Error;
use super::interpreter::Interpreter;
use super::methods::positional;
use super::value::{Text, Value};

impl Interpreter<'_> {
    pub fn pad(&mut self, this: &Text, name: &str, call: Call) -> Result<Value, Error> {
        let [wanted, fill] = positional(call, name, 1)?;
        let wanted = width(&wanted.unwrap_or(Value::None))?;
        let fill = fill.unwrap_or_else(|| Value::from(if name == "zfill" { "0" } else { " " }));
        let mut characters = text(&fill)?.chars();
        let (Some(fill), None) = (characters.next(), characters.next()) else {
            return Err(Error::failed("a fill must be one character"));
        };
        let own = &*this.text;
        let missing = wanted.saturating_sub(own.chars().count());
        self.charge_bytes(missing.saturating_mul(4))?;
        let left = match name {
            "ljust" => 0,
            "center" => missing / 2 + (missing & wanted & 1),
            _ => missing,
        };
        let pad = |count: usize| fill.to_string().repeat(count);
        let out = match own.strip_prefix(['-', '+']).filter(|_| name == "zfill") {
            Some(digits) => format!("{}{}{digits}", &own[..1], pad(left)),
            None => format!("{}{own}{}", pad(left), pad(missing - left)),
        };
        Ok(Value::text(out, this.safe))
    }

    pub fn expand_tabs(&mut self, own: &str, size: usize) -> Result<String, Error> {
        let mut out = String::with_capacity(own.len());
        let mut column = 0;
        for character in own.chars() {
            if character == '\t' {
                let count = size.saturating_sub(column % size.max(1));
                self.charge_bytes(count)?;
                out.extend(std::iter::repeat_n(' ', count));
                column = column.saturating_add(count);
                continue;
            }
            out.push(character);
            column = if matches!(character, '\n' | '\r') {
                0
            } else {
                column + 1
            };
        }
        Ok(out)
    }
}
