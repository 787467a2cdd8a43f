//! Conversations as the model expects them: its own chat template, rendered and encoded.
//!
//! A template is a Jinja program from whoever made the model file. It runs with a budget of steps, of depth and of output,
//! and can reach nothing but the messages. Control tokens in the result count only where the template wrote them: whatever
//! people type, they can't end their turn for the model.

mod builtin;
mod clock;
mod error;

use std::borrow::Cow;
use std::io::{self, Write};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value, context};
use serde::{Deserialize, Serialize};

use crate::format::Metadata;
use crate::tokenizer::{Openings, Tokenizer};

pub use error::ChatError;

/// The metadata key of a GGUF file's template.
pub const TEMPLATE: &str = "tokenizer.chat_template";

/// Bytes of a template, steps it may take, and bytes it may write besides the messages' own.
const MAX_TEMPLATE: usize = 1 << 20;
const FUEL: u64 = 2_000_000;
const MAX_OUTPUT: usize = 1 << 20;
const MAX_DEPTH: usize = 64;

/// Marks, in what people wrote, the places that look like control tokens. A noncharacter: no text holds it.
const MARK: char = '\u{10FFFE}';

/// What somebody said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who: `system`, `user` or `assistant`.
    pub role: String,
    /// What.
    pub content: String,
}

impl Message {
    /// What the conversation is about, and how to answer.
    pub fn system(content: impl Into<String>) -> Self {
        Self { role: "system".into(), content: content.into() }
    }

    /// What a person said.
    pub fn user(content: impl Into<String>) -> Self {
        Self { role: "user".into(), content: content.into() }
    }

    /// What the model said.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self { role: "assistant".into(), content: content.into() }
    }
}

/// A model's chat template, compiled.
#[derive(Clone, Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos: String,
    eos: String,
}

impl ChatTemplate {
    /// Compiles a template. `bos` and `eos` are what `bos_token` and `eos_token` stand for in it.
    ///
    /// # Errors
    /// It is too long, or not valid Jinja.
    pub fn new(source: &str, bos: &str, eos: &str) -> Result<Self, ChatError> {
        if source.len() > MAX_TEMPLATE {
            return Err(ChatError::TooLong { bytes: source.len(), most: MAX_TEMPLATE });
        }
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|e| ChatError::Invalid(detail(&e)))?);
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(MAX_DEPTH);
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |message: String| -> Result<Value, minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
        });
        environment.add_function("strftime_now", |format: String| clock::format_now(&format));
        environment.add_template_owned("chat", source.to_owned()).map_err(|e| ChatError::Invalid(detail(&e)))?;
        Ok(Self { environment, bos: bos.into(), eos: eos.into() })
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

    /// The file's own template, or the one whose control tokens the vocabulary has.
    ///
    /// # Errors
    /// The file's template is no good, or it has none and none fits.
    pub fn for_model(metadata: &Metadata, tokenizer: &Tokenizer) -> Result<Self, ChatError> {
        if let Some(source) = metadata.string(TEMPLATE)? {
            let text = |id: Option<u32>| id.and_then(|id| tokenizer.token(id)).unwrap_or_default();
            let eos = metadata.u32("tokenizer.ggml.eos_token_id")?;
            return Self::new(source, text(tokenizer.bos()), text(eos));
        }
        if tokenizer.control("<|start_header_id|>").is_some() {
            return Self::llama3();
        }
        if tokenizer.control("<|im_start|>").is_some() {
            return Self::chatml();
        }
        Err(ChatError::None)
    }

    /// The conversation as text, control tokens spelled out. With `add_generation_prompt`, ready for the model's answer.
    ///
    /// # Errors
    /// The template refuses the messages, fails, or takes too long.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String, ChatError> {
        let said: usize = messages.iter().map(|m| m.role.len() + m.content.len()).sum();
        let mut out = Capped { bytes: Vec::new(), most: MAX_OUTPUT + 4 * said, full: false };
        let template = self.environment.get_template("chat").map_err(|e| ChatError::Invalid(detail(&e)))?;
        let values = context! {
            messages => Serde(messages), add_generation_prompt, bos_token => self.bos.as_str(), eos_token => self.eos.as_str(), tools => Value::from(()),
        };
        let rendered = template.render_captured_to(values, &mut out);
        if out.full {
            return Err(ChatError::Output { most: out.most });
        }
        match rendered {
            Ok(_) => String::from_utf8(out.bytes).map_err(|e| ChatError::Failed(e.to_string())),
            Err(e) if e.kind() == ErrorKind::OutOfFuel => Err(ChatError::Fuel),
            Err(e) => Err(ChatError::Failed(detail(&e))),
        }
    }

    /// The conversation as token ids. Control tokens in the messages themselves are encoded as the text they are.
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
        let marked: Vec<Message> =
            messages.iter().map(|m| Message { role: mark(&m.role), content: mark(&m.content) }).collect();
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
        marked.push(if character == MARK { char::REPLACEMENT_CHARACTER } else { character });
        if reads_as_control(at) {
            marked.push(MARK);
        }
    }
    marked.into()
}

/// Takes the marks out again. The offsets are those of the control tokens that were whole: the template's own.
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

/// What minijinja says, with the line.
fn detail(error: &minijinja::Error) -> String {
    let what = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    error.line().map_or(what.clone(), |line| format!("{what} (line {line} of the template)"))
}

/// A writer that refuses more than `most` bytes.
struct Capped {
    bytes: Vec<u8>,
    most: usize,
    full: bool,
}

impl Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.most {
            self.full = true;
            return Err(io::Error::other("the output is full"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conversation() -> Vec<Message> {
        vec![Message::system("Be brief."), Message::user(" Hi "), Message::assistant("Hello."), Message::user("Bye")]
    }

    #[test]
    fn built_in_templates() {
        let llama3 = ChatTemplate::llama3().and_then(|t| t.render(&conversation(), true));
        assert_eq!(
            llama3.as_deref(),
            Ok("<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>\
                <|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>\
                <|start_header_id|>assistant<|end_header_id|>\n\nHello.<|eot_id|>\
                <|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>\
                <|start_header_id|>assistant<|end_header_id|>\n\n")
        );
        let chatml = ChatTemplate::chatml().and_then(|t| t.render(&conversation()[..2], true));
        let expected =
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n Hi <|im_end|>\n<|im_start|>assistant\n";
        assert_eq!(chatml.as_deref(), Ok(expected));
    }

    fn fails(source: &str) -> String {
        let rendered = ChatTemplate::new(source, "<s>", "</s>").and_then(|t| t.render(&conversation(), true));
        rendered.expect_err(source).to_string()
    }

    #[test]
    fn programs_from_strangers_end() {
        assert!(
            fails("{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}").contains("steps")
        );
        let doubling =
            "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{{ ns.s }}{% endfor %}";
        assert!(fails(doubling).contains("bytes"), "{}", fails(doubling));
        assert!(fails("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}").contains("template"));
        assert!(fails("{{ raise_exception('roles must alternate') }}").contains("roles must alternate"));
        assert!(fails("{% if %}").contains("line 1"));
        assert!(fails("{{ ''.__class__.__mro__[1].__subclasses__() }}").contains("template"));
        assert!(fails("{% include '/etc/passwd' %}").contains("template"));
        assert!(fails(&"x".repeat(MAX_TEMPLATE + 1)).contains("1048577"));
    }

    #[test]
    fn what_templates_expect_of_python() {
        let render =
            |source: &str| ChatTemplate::new(source, "<s>", "</s>").and_then(|t| t.render(&conversation(), false));
        assert_eq!(render("{{ messages[0]['content'].strip().upper() }}").as_deref(), Ok("BE BRIEF."));
        assert_eq!(render("{{ bos_token }}{{ messages[1:] | length }}{{ eos_token }}").as_deref(), Ok("<s>3</s>"));
        assert_eq!(render("{{ strftime_now('%Y') | length }}").as_deref(), Ok("4"));
        assert_eq!(
            render("{% if tools is none %}a{% endif %}{% if nothing is defined %}b{% endif %}").as_deref(),
            Ok("a")
        );
    }
}
