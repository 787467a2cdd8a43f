//! A model's head: what its files say, before anything is on a GPU.

use godwit::tokenizer::Special;
use godwit::{KvFormat, MemoryUse, Message, Model};
use godwit_shaders::caps::WEBGPU;
use serde::Serialize;
use serde::de::DeserializeOwned;
use wasm_bindgen::prelude::*;

use crate::error::Fault;
use crate::source::{ByteFile, FileSource};

/// A JavaScript value as what it means.
pub fn from_js<T: DeserializeOwned>(value: &JsValue) -> Result<T, Fault> {
    let text = js_sys::JSON::stringify(value).map_err(|_| Fault::bad_request("an option is no plain value"))?;
    serde_json::from_str(&String::from(text)).map_err(Fault::bad_request)
}

/// A value as a JavaScript object.
pub fn to_js(value: &impl Serialize) -> Result<JsValue, Fault> {
    let text = serde_json::to_string(value).map_err(Fault::bad_request)?;
    js_sys::JSON::parse(&text).map_err(|_| Fault::bad_request("a value is no JSON"))
}

/// The type of a KV cache by its name.
pub fn kv_format(name: &str) -> Result<KvFormat, Fault> {
    name.parse().map_err(Fault::bad_request)
}

/// An opened model; its weights stay where they are.
#[wasm_bindgen]
pub struct WebModel {
    pub(crate) model: Model,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ModelInfo {
    name: String,
    kind: String,
    file_bytes: u64,
    window: u32,
    layers: u32,
    vocab: u32,
    chat: bool,
    notes: Vec<String>,
    temperature: f32,
    top_p: f32,
}

#[derive(Serialize)]
pub(crate) struct Memory {
    weights: u64,
    kv: u64,
    scratch: u64,
    total: u64,
}

impl From<MemoryUse> for Memory {
    fn from(memory: MemoryUse) -> Self {
        Self { weights: memory.weights, kv: memory.kv, scratch: memory.scratch, total: memory.total() }
    }
}

#[wasm_bindgen]
impl WebModel {
    /// Reads the head of a GGUF file (of a split model, of all parts in order), or the small files of a repository of that
    /// name where there is a `config.json`.
    ///
    /// # Errors
    /// A file can't be read, or it is no model that Godwit runs.
    pub fn open(name: &str, files: Vec<ByteFile>) -> Result<WebModel, Fault> {
        let sources: Vec<FileSource> = files.into_iter().map(FileSource::from).collect();
        let is_repository = sources.iter().any(|file| godwit::format::Source::name(file).ends_with("config.json"));
        let sources = sources.into_iter().map(|file| Box::new(file) as Box<dyn godwit::format::Source>).collect();
        let model = match is_repository {
            true => Model::from_repository(name, sources)?,
            false => Model::from_sources(sources)?,
        };
        Ok(Self { model })
    }

    /// What the files say.
    ///
    /// # Errors
    /// The files have no words for it.
    pub fn info(&self) -> Result<JsValue, Fault> {
        let (config, checkpoint, sampling) = (self.model.config(), self.model.checkpoint(), self.model.sampling());
        to_js(&ModelInfo {
            name: self.model.name(),
            kind: checkpoint.kind(),
            file_bytes: checkpoint.file_bytes(),
            window: config.context,
            layers: config.layers,
            vocab: config.vocab,
            chat: self.model.chat().is_ok(),
            notes: checkpoint.notes().iter().chain(self.model.tokenizer().notes()).cloned().collect(),
            temperature: sampling.temperature,
            top_p: sampling.top_p,
        })
    }

    /// Bytes of GPU memory that a full context of this many tokens takes, where the KV cache is of this type.
    ///
    /// # Errors
    /// There is no such type.
    pub fn memory(&self, context: u32, kv: &str) -> Result<JsValue, Fault> {
        let context = context.clamp(1, self.model.config().context);
        to_js(&Memory::from(MemoryUse::estimate(&self.model, context, kv_format(kv)?, &WEBGPU)))
    }

    /// A text's tokens. With `special`, control tokens that the text spells out count as such.
    ///
    /// # Errors
    /// The vocabulary has no tokens for the text.
    pub fn tokenize(&self, text: &str, special: bool) -> Result<Vec<u32>, Fault> {
        let special = if special { Special::Parse } else { Special::Text };
        Ok(self.model.tokenizer().encode(text, special)?)
    }

    /// The text of tokens.
    pub fn detokenize(&self, ids: &[u32]) -> String {
        self.model.tokenizer().decode(ids)
    }

    /// A conversation's tokens, ready for the answer.
    ///
    /// # Errors
    /// The messages have another form than `{role, content}`, or the chat template refuses them.
    pub fn prompt(&self, messages: &JsValue) -> Result<Vec<u32>, Fault> {
        let messages: Vec<Message> = from_js(messages)?;
        let template = self.model.chat()?;
        // What a template refuses is the caller's, not the model's.
        template.encode(self.model.tokenizer(), &messages, true).map_err(Fault::bad_request)
    }
}
