//! A model's head: its description, tokenizer and chat template, without a GPU.

use std::cell::RefCell;
use std::rc::Rc;

use godwit::tokenizer::Special;
use godwit::{KvFormat, MemoryUse, Model};
use godwit_shaders::capabilities::WEBGPU;
use js_sys::{BigInt, JSON, JsString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tsify::{Ts, Tsify};
use wasm_bindgen::prelude::*;

use crate::error::WebError;
use crate::numbers::whole;
use crate::source::{ByteFile, FileSource};
use godwit_wire::{EngineOptions, Estimate, Memory, Message, ModelInfo};

/// Deserializes a JavaScript value. `what` names the value in messages.
///
/// # Errors
/// The value, or a part of it, has the wrong type or is not a finite number. The message names the
/// part.
pub fn from_js<T: DeserializeOwned>(what: &str, value: &JsValue) -> Result<T, WebError> {
    if value.is_undefined() || value.is_symbol() || value.is_function() {
        return Err(WebError::bad_request(format!(
            "{what} is missing, or not a plain value"
        )));
    }
    // JSON turns NaN and infinity into null, which would silently mean the default.
    let refused = Rc::new(RefCell::new(None));
    let seen = Rc::clone(&refused);
    let replacer = Closure::<dyn FnMut(JsString, JsValue) -> JsValue>::new(
        move |key: JsString, part: JsValue| {
            if part.is_bigint() || part.as_f64().is_some_and(|number| !number.is_finite()) {
                let text = match part.dyn_ref::<BigInt>() {
                    Some(big) => format!(
                        "the BigInt {}",
                        String::from(big.to_string(10).unwrap_or_default())
                    ),
                    None => part.as_f64().unwrap_or_default().to_string(),
                };
                seen.borrow_mut().get_or_insert((String::from(key), text));
                return JsValue::NULL;
            }
            part
        },
    );
    let text = JSON::stringify_with_replacer(value, replacer.as_ref());
    let text = text.map_err(|_| WebError::bad_request(format!("{what} is not a plain value")))?;
    if let Some((key, number)) = refused.borrow_mut().take() {
        let name = match key.as_str() {
            "" => what.to_owned(),
            index if index.parse::<u32>().is_ok() => format!("{what}[{index}]"),
            key => key.to_owned(),
        };
        return Err(WebError::bad_request(format!(
            "{name} is {number}, but it must be a finite number"
        )));
    }
    let text = String::from(text);
    serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(&text)).map_err(
        |error| {
            let path = error.path().to_string();
            // The caller has never seen the JSON, so a position in it is no help.
            let inner = error.inner().to_string();
            let inner = inner.split(" at line ").next().unwrap_or_default();
            let at = match path.as_str() {
                "." => what.to_owned(),
                path if path.starts_with('[') => format!("{what}{path}"),
                path => path.to_owned(),
            };
            WebError::bad_request(format!("{at}: {inner}"))
        },
    )
}

/// Serializes a value to a JavaScript object.
pub fn to_js<T: Tsify + Serialize>(value: &T) -> Result<Ts<T>, WebError> {
    value.into_ts().map_err(WebError::bad_request)
}

/// The default number of tokens in the context.
const DEFAULT_CONTEXT: u32 = 8192;

/// Validated [`EngineOptions`].
pub struct Options {
    context: Option<u32>,
    pub kv: KvFormat,
    pub memory: Option<u64>,
    pub webgpu_limits: bool,
}

impl Options {
    /// Validates the options.
    ///
    /// # Errors
    /// An option is unknown, or its value is invalid. The message names the option.
    pub fn check(options: &Ts<EngineOptions>) -> Result<Self, WebError> {
        let options: EngineOptions = from_js("options", &options.js_value())?;
        let context = options
            .context
            .map(|tokens| whole("context", tokens, 1, u64::from(u32::MAX)))
            .transpose();
        let kv = options
            .kv
            .map_or(Ok(KvFormat::default()), |name| name.parse());
        let memory = match options.memory {
            Some(bytes) if bytes <= 0.0 => {
                return Err(WebError::bad_request(format!(
                    "memory is {bytes}, but it must be a number of bytes above 0"
                )));
            }
            memory => memory.map(|bytes| bytes as u64),
        };
        Ok(Self {
            context: context
                .map_err(WebError::bad_request)?
                .map(|tokens| tokens as u32),
            kv: kv.map_err(WebError::bad_request)?,
            memory,
            webgpu_limits: options.webgpu_limits.unwrap_or(false),
        })
    }

    /// The context of a model on a device with these capabilities.
    pub fn context(&self, model: &Model, caps: &godwit_shaders::Capabilities) -> u32 {
        let window = model.config().context;
        match (self.context, self.memory) {
            (Some(tokens), _) => tokens.min(window),
            (None, None) => DEFAULT_CONTEXT.min(window),
            (None, Some(bytes)) => {
                // If not even one token fits, the check against the budget reports it.
                MemoryUse::longest_context(model, self.kv, caps, bytes).clamp(1, DEFAULT_CONTEXT)
            }
        }
    }
}

/// An opened model. Its weights stay in their files.
#[wasm_bindgen]
pub struct WebModel {
    pub(crate) model: Model,
}

/// Converts the GPU memory of a model for JavaScript.
pub fn memory_of(memory: MemoryUse) -> Memory {
    Memory {
        weights: memory.weights,
        kv: memory.kv,
        scratch: memory.scratch,
        total: memory.total(),
    }
}

/// Converts a message from JavaScript for the runtime.
fn message_of(Message { role, content }: Message) -> godwit::Message {
    godwit::Message {
        role: role.name().to_owned(),
        content,
    }
}

impl WebModel {
    fn description(&self) -> ModelInfo {
        let (config, checkpoint, sampling) = (
            self.model.config(),
            self.model.checkpoint(),
            self.model.sampling(),
        );
        ModelInfo {
            name: self.model.name(),
            kind: checkpoint.kind(),
            file_bytes: checkpoint.file_bytes(),
            window: config.context,
            layers: config.layers,
            vocab: config.vocab,
            chat: self.model.chat().is_ok(),
            notes: self.model.notes().to_vec(),
            temperature: sampling.temperature,
            top_p: sampling.top_p,
        }
    }
}

#[wasm_bindgen]
impl WebModel {
    /// Reads the head of a GGUF model, whose parts must be in order, or the small files of a
    /// repository of that name if one of the files is a `config.json`.
    ///
    /// # Errors
    /// A file can't be read, or the files hold no model that Godwit runs.
    pub fn open(name: &str, files: Vec<ByteFile>) -> Result<WebModel, WebError> {
        let sources: Vec<FileSource> = files.into_iter().map(FileSource::from).collect();
        let is_repository = sources
            .iter()
            .any(|file| godwit::Source::name(file).ends_with("config.json"));
        let sources = sources
            .into_iter()
            .map(|file| Box::new(file) as Box<dyn godwit::Source>)
            .collect();
        let model = match is_repository {
            true => Model::from_repository(name, sources)?,
            false => Model::from_sources(sources)?,
        };
        Ok(Self { model })
    }

    /// The description of the model.
    ///
    /// # Errors
    /// The conversion to a JavaScript object fails. No cause of that is known.
    pub fn info(&self) -> Result<Ts<ModelInfo>, WebError> {
        to_js(&self.description())
    }

    /// The GPU memory that the model needs with these options, on any WebGPU device. `cached`
    /// becomes [`Estimate::cached`].
    ///
    /// # Errors
    /// An option is invalid.
    pub fn estimate(
        &self,
        options: Ts<EngineOptions>,
        cached: bool,
    ) -> Result<Ts<Estimate>, WebError> {
        let options = Options::check(&options)?;
        let context = options.context(&self.model, &WEBGPU);
        let memory = memory_of(MemoryUse::estimate(
            &self.model,
            context,
            options.kv,
            &WEBGPU,
        ));
        to_js(&Estimate {
            model: self.description(),
            context,
            memory,
            cached,
        })
    }

    /// The token ids of a text. With `special`, names of control tokens become these tokens.
    ///
    /// # Errors
    /// The vocabulary has no tokens for the text.
    pub fn tokenize(&self, text: &str, special: bool) -> Result<Vec<u32>, WebError> {
        let special = if special {
            Special::Parse
        } else {
            Special::Text
        };
        self.model
            .tokenizer()
            .encode(text, special)
            .map_err(WebError::bad_request)
    }

    /// The text of token ids.
    ///
    /// # Errors
    /// A number is not a token id. The message names it.
    pub fn detokenize(&self, ids: &JsValue) -> Result<String, WebError> {
        let ids: Vec<f64> = from_js("ids", ids)?;
        let last = u64::from(self.model.config().vocab.saturating_sub(1));
        let id =
            |(i, id): (usize, f64)| whole(&format!("ids[{i}]"), id, 0, last).map(|id| id as u32);
        let ids: Result<Vec<u32>, String> = ids.into_iter().enumerate().map(id).collect();
        Ok(self
            .model
            .tokenizer()
            .decode(&ids.map_err(WebError::bad_request)?))
    }

    /// The token ids of a conversation, up to the beginning of the reply.
    ///
    /// # Errors
    /// The messages are not of the form `{role, content}`, or the chat template refuses them.
    pub fn prompt(&self, messages: &JsValue) -> Result<Vec<u32>, WebError> {
        let messages: Vec<Message> = from_js("messages", messages)?;
        let messages: Vec<godwit::Message> = messages.into_iter().map(message_of).collect();
        let template = self.model.chat()?;
        // An error of the template is caused by the messages, not by the model.
        template
            .encode(self.model.tokenizer(), &messages, true)
            .map_err(WebError::bad_request)
    }
}
