//! Conversations as the model expects them: its own chat template, rendered and encoded.
//!
//! A template is a Jinja program from whoever made the model file. It runs with a budget of steps,
//! of depth and of output, and can reach nothing but the messages. Control tokens in the result
//! count only where the template wrote them: whatever people type, they can't end their turn for
//! the model.

mod builtin;
mod clock;
mod error;
mod jinja;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::gguf::Metadata;
use crate::tokenizer::{Openings, Tokenizer};

pub use error::ChatError;

/// The metadata key of a GGUF file's template.
pub const TEMPLATE: &str = "tokenizer.chat_template";

/// The longest template, and the budget it has in addition to one that grows with the messages.
const MAX_TEMPLATE: usize = 1 << 20;
const FUEL: u64 = 5_000_000;
const MAX_OUTPUT: usize = 1 << 20;
const MAX_TIME: Duration = Duration::from_secs(10);

/// Marks, in what people wrote, the places that look like control tokens. A noncharacter: no text
/// holds it.
const MARK: char = '\u{10FFFE}';

/// The special tokens besides `bos_token` and `eos_token`, and where a file has their ids.
pub(crate) const TOKENS: [(&str, &str); 5] = [
    ("unk_token", "tokenizer.ggml.unknown_token_id"),
    ("pad_token", "tokenizer.ggml.padding_token_id"),
    // The key is spelled so in the format.
    ("sep_token", "tokenizer.ggml.seperator_token_id"),
    ("cls_token", "tokenizer.ggml.cls_token_id"),
    ("mask_token", "tokenizer.ggml.mask_token_id"),
];

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who: `system`, `user` or `assistant`.
    pub role: String,
    /// Its text.
    pub content: String,
}

impl Message {
    /// Instructions: the subject, and how to answer.
    pub fn system(content: impl Into<String>) -> Self {
        Self {
            role: "system".into(),
            content: content.into(),
        }
    }

    /// A message of the user.
    pub fn user(content: impl Into<String>) -> Self {
        Self {
            role: "user".into(),
            content: content.into(),
        }
    }

    /// A reply of the model.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self {
            role: "assistant".into(),
            content: content.into(),
        }
    }
}

/// A model's chat template, compiled.
#[derive(Clone, Debug)]
pub struct ChatTemplate {
    template: Arc<jinja::Template>,
    /// Special tokens by the names that templates know them by.
    tokens: Map<String, Value>,
    time: Option<NaiveDateTime>,
}

impl ChatTemplate {
    /// Compiles a template. `bos` and `eos` are what `bos_token` and `eos_token` stand for in it;
    /// an empty one is undefined there, as for a tokenizer without such a token.
    ///
    /// # Errors
    /// It is too long, or not valid Jinja.
    pub fn new(source: &str, bos: &str, eos: &str) -> Result<Self, ChatError> {
        if source.len() > MAX_TEMPLATE {
            return Err(ChatError::TooLong {
                bytes: source.len(),
                most: MAX_TEMPLATE,
            });
        }
        let template = jinja::Template::new(source).map_err(|e| ChatError::Invalid(detail(&e)))?;
        let template = Self {
            template: Arc::new(template),
            tokens: Map::new(),
            time: None,
        };
        Ok(template
            .with_token("bos_token", bos)
            .with_token("eos_token", eos))
    }

    /// Sets a special token by the name that templates know it by: `unk_token`, `pad_token` and the
    /// like. An empty text leaves it undefined.
    #[must_use]
    pub fn with_token(mut self, name: &str, text: &str) -> Self {
        if !text.is_empty() {
            self.tokens.insert(name.into(), text.into());
        }
        self
    }

    /// Fixes the time that `strftime_now` tells, in seconds since 1970 on the local clock: prompts
    /// can be repeated.
    #[must_use]
    pub fn at(mut self, seconds: i64) -> Self {
        self.time = DateTime::from_timestamp(seconds, 0).map(|time| time.naive_utc());
        self
    }

    /// Llama 3's template.
    ///
    /// # Errors
    /// None: it is known to compile.
    pub fn llama3() -> Result<Self, ChatError> {
        Self::new(builtin::LLAMA3, "<|begin_of_text|>", "<|eot_id|>")
    }

    /// ChatML.
    ///
    /// # Errors
    /// None: it is known to compile.
    pub fn chatml() -> Result<Self, ChatError> {
        Self::new(builtin::CHATML, "", "<|im_end|>")
    }

    /// The file's own template, or the one whose control tokens the vocabulary has. An empty
    /// template counts as none.
    ///
    /// # Errors
    /// The file's template is no good, or it has none and none fits.
    pub fn for_model(metadata: &Metadata, tokenizer: &Tokenizer) -> Result<Self, ChatError> {
        let source = metadata
            .string(TEMPLATE)?
            .filter(|source| !source.trim().is_empty());
        if let Some(source) = source {
            let text = |id: Option<u32>| id.and_then(|id| tokenizer.token(id)).unwrap_or_default();
            let eos = metadata.u32("tokenizer.ggml.eos_token_id")?;
            let mut template = Self::new(source, text(tokenizer.bos()), text(eos))?;
            for (name, key) in TOKENS {
                // Few templates ask for these: whatever else a file has there is no reason to
                // refuse it.
                template = template.with_token(name, text(metadata.u32(key).ok().flatten()));
            }
            return Ok(template);
        }
        if tokenizer.control("<|start_header_id|>").is_some() {
            return Self::llama3();
        }
        if tokenizer.control("<|im_start|>").is_some() {
            return Self::chatml();
        }
        Err(ChatError::None)
    }

    /// The conversation as text, control tokens spelled out. With `add_generation_prompt`, ready
    /// for the model's answer.
    ///
    /// # Errors
    /// The template refuses the messages, fails, or takes too long.
    pub fn render(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
    ) -> Result<String, ChatError> {
        let message = |message: &Message| {
            let mut fields = Map::new();
            fields.insert("role".into(), message.role.as_str().into());
            fields.insert("content".into(), message.content.as_str().into());
            Value::Object(fields)
        };
        let mut variables = Map::new();
        variables.insert("messages".into(), messages.iter().map(message).collect());
        variables.insert("add_generation_prompt".into(), add_generation_prompt.into());
        self.render_with(&variables)
    }

    /// Renders with any variables: `messages` with all their fields, `add_generation_prompt`,
    /// `tools`, `documents`, and what else a template asks for. Dictionaries keep their order.
    ///
    /// # Errors
    /// As [`ChatTemplate::render`].
    pub fn render_with(&self, variables: &Map<String, Value>) -> Result<String, ChatError> {
        let mut all = Map::new();
        all.insert("tools".into(), Value::Null);
        all.insert("documents".into(), Value::Null);
        all.extend(self.tokens.clone());
        all.extend(variables.clone());
        let said = all.values().map(bytes_of).fold(0, usize::saturating_add);
        let most = MAX_OUTPUT.saturating_add(said.saturating_mul(4));
        let fuel = FUEL.saturating_add((said as u64).saturating_mul(8));
        let limits = jinja::Limits {
            fuel,
            output: most,
            time: MAX_TIME,
        };
        let now = || self.time.unwrap_or_else(clock::now);
        self.template
            .render(&all, limits, &now)
            .map_err(|error| match error.kind {
                jinja::Kind::Syntax | jinja::Kind::Failed | jinja::Kind::Time => {
                    ChatError::Failed(detail(&error))
                }
                jinja::Kind::Fuel => ChatError::Fuel,
                jinja::Kind::Output => ChatError::Output { most },
            })
    }

    /// The conversation as token ids. Control tokens in the messages themselves are encoded as the
    /// text they are.
    ///
    /// # Errors
    /// As [`ChatTemplate::render`]; or the vocabulary has no tokens for the text.
    pub fn encode(
        &self,
        tokenizer: &Tokenizer,
        messages: &[Message],
        add_generation_prompt: bool,
    ) -> Result<Vec<u32>, ChatError> {
        let mark = |text: &str| mark(tokenizer, text).into_owned();
        let marked: Vec<Message> = messages
            .iter()
            .map(|m| Message {
                role: mark(&m.role),
                content: mark(&m.content),
            })
            .collect();
        let rendered = self.render(&marked, add_generation_prompt)?;
        let (text, openings) = unmark(tokenizer, &rendered);
        Ok(tokenizer.encode_at(&text, Openings::At(&openings))?)
    }
}

/// Puts a mark after the first character of everything in `text` that reads as a control token.
fn mark<'a>(tokenizer: &Tokenizer, text: &'a str) -> Cow<'a, str> {
    let reads_as_control = |at: usize| tokenizer.control_at(text, at).is_some();
    if !text.contains(MARK) && !text.char_indices().any(|(at, _)| reads_as_control(at)) {
        return text.into();
    }
    let mut marked = String::with_capacity(text.len() + 16);
    for (at, character) in text.char_indices() {
        marked.push(if character == MARK {
            char::REPLACEMENT_CHARACTER
        } else {
            character
        });
        if reads_as_control(at) {
            marked.push(MARK);
        }
    }
    marked.into()
}

/// Takes the marks out again. The offsets are those of the control tokens that were whole: the
/// template's own.
fn unmark(tokenizer: &Tokenizer, rendered: &str) -> (String, Vec<usize>) {
    let (mut text, mut openings) = (String::with_capacity(rendered.len()), Vec::new());
    let mut at = 0;
    while let Some(character) = rendered[at..].chars().next() {
        if let Some((found, _)) = tokenizer.control_at(rendered, at) {
            openings.push(text.len());
            text.push_str(&rendered[found.clone()]);
            at = found.end;
        } else {
            text.extend((character != MARK).then_some(character));
            at += character.len_utf8();
        }
    }
    (text, openings)
}

/// The interpreter's error, with its line.
fn detail(error: &jinja::Error) -> String {
    match error.line {
        0 => error.message.clone(),
        line => format!("{} (line {line} of the template)", error.message),
    }
}

/// About the bytes that a value takes in a conversation.
fn bytes_of(value: &Value) -> usize {
    match value {
        Value::String(text) => 32 + text.len(),
        Value::Array(items) => items.iter().map(bytes_of).fold(32, usize::saturating_add),
        Value::Object(items) => items
            .iter()
            .map(|(key, value)| 32 + key.len() + bytes_of(value))
            .fold(32, usize::saturating_add),
        _ => 32,
    }
}
