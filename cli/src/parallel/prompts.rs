//! The prompts of `run --parallel`: a JSON object a line, all checked before a model is loaded.

use std::path::Path;

use godwit::{Message, Sampling};
use serde_json::{Map, Value};

use crate::exit::BadInput;
use crate::input;
use crate::output::shown;

/// The longest line, in bytes.
const MOST_BYTES: usize = 16 << 20;
/// How many wrong lines an error lists.
const MOST_LISTED: usize = 10;
/// Characters of a wrong value that an error shows.
const MOST_SHOWN: usize = 40;

const KEYS: [&str; 10] = [
    "id",
    "prompt",
    "messages",
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "seed",
    "stop",
];

/// A line of the file: what to answer, and where it differs from the options.
#[derive(Clone, Debug, PartialEq)]
pub struct Prompt {
    /// Its number in the file, from 1.
    pub line: usize,
    /// The first 16 hexadecimal digits of the line's BLAKE3 hash.
    pub hash: String,
    pub id: Option<Value>,
    pub input: Input,
    pub max_tokens: Option<usize>,
    pub temperature: Option<f32>,
    pub top_p: Option<f32>,
    pub top_k: Option<u32>,
    pub min_p: Option<f32>,
    pub seed: Option<u64>,
    pub stop: Option<Vec<String>>,
}

/// What a model is to answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A question, or with `--raw` the beginning of a text.
    Prompt(String),
    /// A conversation.
    Messages(Vec<Message>),
}

impl Prompt {
    /// The options' sampling, with what the line sets. Lines without a seed of their own draw
    /// different numbers, so that equal prompts get different answers.
    pub fn sampling(&self, options: &Sampling) -> Sampling {
        let seed = options.seed.wrapping_add(self.line as u64 - 1);
        options
            .clone()
            .temperature(self.temperature.unwrap_or(options.temperature))
            .top_p(self.top_p.unwrap_or(options.top_p))
            .top_k(self.top_k.unwrap_or(options.top_k))
            .min_p(self.min_p.unwrap_or(options.min_p))
            .seed(self.seed.unwrap_or(seed))
    }
}

/// The prompts of a file, or of stdin where it is called `-`. Lines without text are left out.
/// `is_raw`: there is no chat template for messages.
///
/// # Errors
/// The file can't be read, or is not UTF-8. Lines that are wrong: the error lists them.
pub fn read(file: &Path, is_raw: bool) -> anyhow::Result<Vec<Prompt>> {
    let name = match file.to_str() {
        Some("-") => "stdin".into(),
        _ => file.display().to_string(),
    };
    parse(&input::file(file)?, is_raw).map_err(|cause| BadInput { file: name, cause }.into())
}

fn parse(text: &str, is_raw: bool) -> Result<Vec<Prompt>, String> {
    let (mut prompts, mut wrong) = (Vec::new(), Vec::new());
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        match prompt(index + 1, line, is_raw) {
            Ok(prompt) => prompts.push(prompt),
            Err(cause) => wrong.push(format!("line {}: {cause}", index + 1)),
        }
    }
    match wrong.len() {
        0 if prompts.is_empty() => {
            Err("it has no prompts; write a line such as {\"prompt\": \"Hello\"}".into())
        }
        0 => Ok(prompts),
        1 => Err(wrong.remove(0)),
        count => {
            let more = match count.saturating_sub(MOST_LISTED) {
                0 => String::new(),
                more => format!("\n  and {more} more"),
            };
            wrong.truncate(MOST_LISTED);
            let list = wrong.join("\n  ");
            Err(format!("{count} lines can't be used:\n  {list}{more}"))
        }
    }
}

fn prompt(line: usize, text: &str, is_raw: bool) -> Result<Prompt, String> {
    if text.len() > MOST_BYTES {
        let mib = MOST_BYTES >> 20;
        return Err(format!(
            "it has {} bytes; a line may have {mib} MiB: shorten the prompt, or run it alone with \
             -f",
            text.len()
        ));
    }
    let mut keys: Map<String, Value> = match serde_json::from_str(text) {
        Ok(Value::Object(keys)) => keys,
        Ok(other) => {
            return Err(format!(
                "it is {}, not an object; write {{\"prompt\": \"…\"}}",
                brief(&other)
            ));
        }
        Err(error) => {
            // The column says it all: this is one line.
            let (cause, column) = (error.to_string(), error.column());
            let cause = cause.split(" at line ").next().unwrap_or_default();
            return Err(format!("it is not JSON: {cause}, in column {column}"));
        }
    };
    if let Some(key) = keys.keys().find(|key| !KEYS.contains(&key.as_str())) {
        let known = KEYS.join(", ");
        return Err(format!(
            "unknown key `{}`; the keys are {known}",
            shown(key)
        ));
    }
    let input = match (keys.remove("prompt"), keys.remove("messages")) {
        (Some(_), Some(_)) => {
            return Err("it has both `prompt` and `messages`; leave one out".into());
        }
        (None, None) => return Err("it has neither `prompt` nor `messages`".into()),
        (Some(Value::String(prompt)), None) if prompt.is_empty() => {
            return Err("`prompt` is empty".into());
        }
        (Some(Value::String(prompt)), None) => Input::Prompt(prompt),
        (Some(other), None) => {
            return Err(format!("`prompt` is {}, not a string", brief(&other)));
        }
        (None, Some(_)) if is_raw => {
            return Err(
                "--raw leaves out the chat template that `messages` need; write \
                        `prompt`, or leave --raw out"
                    .into(),
            );
        }
        (None, Some(list)) => Input::Messages(messages(list)?),
    };
    let mut number = |key: &str| take(&mut keys, key, "a number", Value::as_f64);
    let temperature = number("temperature")?.map(|value| value as f32);
    let top_p = number("top_p")?.map(|value| value as f32);
    let min_p = number("min_p")?.map(|value| value as f32);
    let mut whole = |key: &str| take(&mut keys, key, "a whole number from 0 on", Value::as_u64);
    let max_tokens = whole("max_tokens")?.map(|value| usize::try_from(value).unwrap_or(usize::MAX));
    let top_k = whole("top_k")?.map(|value| u32::try_from(value).unwrap_or(u32::MAX));
    let seed = whole("seed")?;
    let stop = take(&mut keys, "stop", "a string or a list of strings", strings)?;
    let id = keys.remove("id").filter(|id| !id.is_null());
    let prompt = Prompt {
        line,
        hash: blake3::hash(text.as_bytes()).to_hex()[..16].to_owned(),
        id,
        input,
        max_tokens,
        temperature,
        top_p,
        top_k,
        min_p,
        seed,
        stop,
    };
    prompt
        .sampling(&Sampling::default())
        .validate(u32::MAX)
        .map_err(|error| error.to_string())?;
    Ok(prompt)
}

/// The value of a key that may be left out; `null` leaves it out too.
fn take<T>(
    keys: &mut Map<String, Value>,
    key: &str,
    kind: &str,
    read: impl Fn(&Value) -> Option<T>,
) -> Result<Option<T>, String> {
    let Some(value) = keys.remove(key).filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    match read(&value) {
        Some(read) => Ok(Some(read)),
        None => Err(format!("`{key}` is {}, not {kind}", brief(&value))),
    }
}

fn strings(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(one) => Some(vec![one.clone()]),
        Value::Array(list) => list
            .iter()
            .map(|one| one.as_str().map(str::to_owned))
            .collect(),
        _ => None,
    }
}

fn messages(list: Value) -> Result<Vec<Message>, String> {
    let Value::Array(list) = list else {
        return Err(format!("`messages` is {}, not a list", brief(&list)));
    };
    if list.is_empty() {
        return Err("`messages` is empty".into());
    }
    let form = "write {\"role\": \"user\", \"content\": \"…\"}";
    let message = |(index, value): (usize, Value)| {
        let at = index + 1;
        let Value::Object(keys) = &value else {
            return Err(format!("message {at} is {}; {form}", brief(&value)));
        };
        if let Some(key) = keys
            .keys()
            .find(|key| !["role", "content"].contains(&key.as_str()))
        {
            return Err(format!(
                "message {at} has the unknown key `{}`; {form}",
                shown(key)
            ));
        }
        let text = |key: &str| match keys.get(key) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(other) => Err(format!(
                "`{key}` of message {at} is {}, not a string",
                brief(other)
            )),
            None => Err(format!("message {at} has no `{key}`; {form}")),
        };
        Ok(Message {
            role: text("role")?,
            content: text("content")?,
        })
    };
    list.into_iter().enumerate().map(message).collect()
}

/// A value as an error shows it: its beginning.
fn brief(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(MOST_SHOWN) {
        Some((at, _)) => format!("{}…", shown(&text[..at])),
        None => shown(&text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let first = r#"{"prompt": "a", "id": [1], "stop": "x", "seed": 7}"#;
        let second = r#"{"messages": [{"role": "user", "content": "b"}], "max_tokens": 3,
                         "top_k": null}"#
            .replace('\n', " ");
        let text = &format!("{first}\r\n\n \n{second}");
        let prompts = parse(text, false).expect("both are right");
        let [first, second] = &prompts[..] else {
            unreachable!("{prompts:?}")
        };
        assert_eq!((first.line, second.line), (1, 4));
        assert_eq!(first.input, Input::Prompt("a".into()));
        assert_eq!(first.stop, Some(vec!["x".into()]));
        assert_eq!(second.input, Input::Messages(vec![Message::user("b")]));
        assert_eq!((second.max_tokens, second.top_k), (Some(3), None));
        let line = text.lines().next().expect("a line");
        let hash = blake3::hash(line.as_bytes()).to_hex();
        assert_eq!(first.hash, hash[..16]);
        let options = Sampling::default().seed(10);
        assert_eq!(first.sampling(&options).seed, 7);
        assert_eq!(second.sampling(&options).seed, 13);
    }

    #[test]
    fn wrong_lines_are_listed() {
        for (line, says) in [
            ("{", "not JSON: EOF while parsing an object, in column 1"),
            ("3", "it is 3, not an object"),
            ("{}", "neither `prompt` nor `messages`"),
            (r#"{"promt": "a"}"#, "unknown key `promt`; the keys are id"),
            (r#"{"prompt": ""}"#, "`prompt` is empty"),
            (r#"{"prompt": 1}"#, "`prompt` is 1, not a string"),
            (r#"{"prompt": "a", "messages": []}"#, "both"),
            (r#"{"messages": []}"#, "`messages` is empty"),
            (r#"{"messages": "a"}"#, "not a list"),
            (r#"{"messages": ["a"]}"#, "message 1 is \"a\""),
            (r#"{"messages": [{"role": "user"}]}"#, "no `content`"),
            (
                r#"{"messages": [{"role": "user", "content": 1}]}"#,
                "not a string",
            ),
            (
                r#"{"messages": [{"role": "u", "content": "", "x": 1}]}"#,
                "key `x`",
            ),
            (
                r#"{"prompt": "a", "max_tokens": -1}"#,
                "`max_tokens` is -1, not a whole",
            ),
            (
                r#"{"prompt": "a", "temperature": "hot"}"#,
                "`temperature` is \"hot\"",
            ),
            (r#"{"prompt": "a", "temperature": -1}"#, "temperature"),
            (r#"{"prompt": "a", "top_p": 2}"#, "top_p"),
            (r#"{"prompt": "a", "stop": [1]}"#, "`stop` is [1]"),
        ] {
            let error =
                parse(&format!("{{\"prompt\": \"a\"}}\n{line}"), false).expect_err("it is wrong");
            assert!(
                error.starts_with("line 2: ") && error.contains(says),
                "{line}: {error}"
            );
        }
        let error = parse(&"x\n".repeat(12), false).expect_err("all are wrong");
        assert!(
            error.starts_with("12 lines") && error.ends_with("and 2 more"),
            "{error}"
        );
        let long = format!("{{\"prompt\": \"{}\"}}", "a".repeat(MOST_BYTES));
        assert!(parse(&long, false).is_err_and(|error| error.contains("16 MiB")));
        let messages = r#"{"messages": [{"role": "user", "content": "b"}]}"#;
        assert!(parse(messages, true).is_err_and(|error| error.contains("--raw")));
        assert!(parse("\n \n", false).is_err_and(|error| error.contains("no prompts")));
    }
}
