//! Methods of strings that cut them: `split`, `rsplit` and `splitlines`.

use super::budget::STEPS_PER_PART;
use super::call::{Call, int, text};
use super::error::Error;
use super::interpreter::Interpreter;
use super::text::{is_line_end, is_space};
use super::value::{Text, Value};

impl Interpreter<'_> {
    pub fn split(&mut self, this: &Text, name: &str, call: Call) -> Result<Value, Error> {
        let [separator, limit] = call.bind(name, ["sep", "maxsplit"])?;
        let limit = limit.as_ref().map_or(Ok(-1), int)?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX - 1);
        let own = &*this.text;
        let from_left = name == "split";
        let parts: Vec<&str> = match separator {
            None | Some(Value::None) => {
                let words = own.split(is_space).filter(|word| !word.is_empty()).count();
                self.charge(
                    words
                        .min(limit.saturating_add(1))
                        .saturating_mul(STEPS_PER_PART),
                )?;
                split_spaces(own, limit, from_left)
            }
            Some(separator) => {
                let separator = text(&separator)?;
                if separator.is_empty() {
                    return Err(Error::failed("empty separator"));
                }
                self.charge_search(own, separator)?;
                let most = limit.saturating_add(1);
                let mut parts = Vec::new();
                if from_left {
                    for part in own.splitn(most, separator) {
                        self.charge(STEPS_PER_PART)?;
                        parts.push(part);
                    }
                } else {
                    for part in own.rsplitn(most, separator) {
                        self.charge(STEPS_PER_PART)?;
                        parts.push(part);
                    }
                    parts.reverse();
                }
                parts
            }
        };
        self.charge(parts.len())?;
        self.list(
            parts
                .into_iter()
                .map(|part| Value::text(part, this.safe))
                .collect(),
        )
    }
}

pub(super) fn split_lines(text: &str, keep_ends: bool) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some((at, end)) = rest.char_indices().find(|(_, c)| is_line_end(*c)) {
        let length = if rest[at..].starts_with("\r\n") {
            2
        } else {
            end.len_utf8()
        };
        lines.push(&rest[..if keep_ends { at + length } else { at }]);
        rest = &rest[at + length..];
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}

/// Words between runs of spaces; after `limit` splits the rest stays whole.
fn split_spaces(text: &str, limit: usize, from_left: bool) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text.trim_matches(is_space);
    // The rest that is not split keeps the spaces at its far end.
    let mut whole = if from_left {
        text.trim_start_matches(is_space)
    } else {
        text.trim_end_matches(is_space)
    };
    while !rest.is_empty() {
        if parts.len() == limit {
            parts.push(whole);
            break;
        }
        let at = if from_left {
            rest.find(is_space)
        } else {
            rest.rfind(is_space)
        };
        let Some(at) = at else {
            parts.push(rest);
            break;
        };
        if from_left {
            parts.push(&rest[..at]);
            whole = whole[at..].trim_start_matches(is_space);
            rest = rest[at..].trim_start_matches(is_space);
        } else {
            let word = rest[at..].trim_start_matches(is_space);
            parts.push(word);
            rest = rest[..at].trim_end_matches(is_space);
            whole = whole[..whole.len() - word.len()].trim_end_matches(is_space);
        }
    }
    if !from_left {
        parts.reverse();
    }
    parts
}
