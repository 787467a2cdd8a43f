//! The types that cross between wasm and JavaScript.
//!
//! `web/bindgen` generates TypeScript's declarations in `web/js/wire.ts` from these types, so the
//! two languages can't differ.

use serde::{Deserialize, Serialize};
use tsify::Tsify;

/// The class of an error, as its `name` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Tsify)]
pub enum ErrorName {
    /// There is no WebGPU, or no adapter that is good enough.
    NoWebGPU,
    /// The worker or its WebAssembly could not be started.
    CannotStart,
    /// The GPU or the browser has too little memory.
    OutOfMemory,
    /// The GPU is gone, or the engine broke.
    DeviceLost,
    /// The files are no model that Godwit runs, or are damaged.
    BadModel,
    /// A server can't be reached, or refuses.
    NetworkError,
    /// The browser's storage can't be read or written.
    StorageError,
    /// The prompt does not fit the context.
    ContextFull,
    /// A saved context is damaged, or of another model.
    BadContext,
    /// A parameter makes no sense.
    BadRequest,
    /// The caller stopped the work.
    Aborted,
    /// Any other failure: a mistake in this library.
    GodwitError,
}

impl ErrorName {
    /// The name as JavaScript has it.
    pub fn name(self) -> String {
        format!("{self:?}")
    }
}

/// How a model is loaded.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, Tsify)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EngineOptions {
    /// Tokens that the conversation holds at most, and never more than the model's window. The
    /// default is 8,192, or what fits `memory` where that is less.
    #[tsify(optional)]
    pub context: Option<f64>,
    /// How the KV cache is stored: `f32`, `f16`, `q8_0`, `q4_0`, or two of them as `keys/values`.
    /// The default is `f16`.
    #[tsify(optional)]
    pub kv: Option<String>,
    /// Bytes of GPU memory to take at most. The default is no limit.
    #[tsify(optional)]
    pub memory: Option<f64>,
    /// Copies picked files to where downloaded models are kept, if there is room: then they need
    /// not be picked again.
    #[tsify(optional)]
    pub keep: Option<bool>,
    /// Asks for no more than every WebGPU device has.
    #[tsify(optional)]
    pub webgpu_limits: Option<bool>,
}

/// Texts that end a reply.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, Tsify)]
#[serde(untagged)]
pub enum Stop {
    /// One text.
    One(String),
    /// Any of these.
    Many(Vec<String>),
}

/// How tokens are chosen: OpenAI's parameters, and more. The default of each is the model's
/// recommendation.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, Tsify)]
#[serde(deny_unknown_fields)]
pub struct SamplingOptions {
    /// Logits are divided by this: at least 0, where 0 always chooses the most likely token.
    #[tsify(optional)]
    pub temperature: Option<f64>,
    /// Keeps the most likely tokens whose probabilities reach this sum: above 0 and at most 1.
    #[tsify(optional)]
    pub top_p: Option<f64>,
    /// Keeps this many of the most likely tokens: a whole number, where 0 keeps all.
    #[tsify(optional)]
    pub top_k: Option<f64>,
    /// Keeps tokens at least this fraction as likely as the most likely one: between 0 and 1.
    #[tsify(optional)]
    pub min_p: Option<f64>,
    /// Divides the logits of tokens seen lately: above 0, where 1 is off.
    #[tsify(optional)]
    pub repetition_penalty: Option<f64>,
    /// Subtracted once from the logit of each token seen lately: between -2 and 2.
    #[tsify(optional)]
    pub presence_penalty: Option<f64>,
    /// Subtracted from a token's logit each time it was seen lately: between -2 and 2.
    #[tsify(optional)]
    pub frequency_penalty: Option<f64>,
    /// A whole number. The same seed, prompt and parameters give the same text. The default is
    /// random.
    #[tsify(optional)]
    pub seed: Option<f64>,
    /// Tokens of the reply at most: a whole number, at least 1. The default is what the context
    /// holds.
    #[tsify(optional)]
    pub max_tokens: Option<f64>,
    /// Texts that end the reply, which does not contain them.
    #[tsify(optional)]
    pub stop: Option<Stop>,
    /// How many replies: 1, as there is one conversation.
    #[tsify(optional)]
    pub n: Option<f64>,
}

/// Whose message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, Tsify)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// What the conversation is about, and how to answer.
    System,
    /// A person.
    User,
    /// The model.
    Assistant,
    /// A function that the model called, where its chat template knows such messages.
    Tool,
}

impl Role {
    /// The name as chat templates have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

/// A message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, Tsify)]
pub struct Message {
    /// Whose it is.
    pub role: Role,
    /// Its text.
    pub content: String,
}

/// GPU memory in bytes, by use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, Tsify)]
pub struct Memory {
    /// Weights and rotation tables.
    pub weights: u64,
    /// The KV cache.
    pub kv: u64,
    /// Activations and logits.
    pub scratch: u64,
    /// All of it.
    pub total: u64,
}

/// What a model's files say.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct ModelInfo {
    /// The model's name.
    pub name: String,
    /// What kind of files it has.
    pub kind: String,
    /// Bytes of all files.
    pub file_bytes: u64,
    /// Tokens that the model was made for.
    pub window: u32,
    /// Layers.
    pub layers: u32,
    /// Tokens of the vocabulary.
    pub vocab: u32,
    /// Whether it has a chat template, its own or a known one.
    pub chat: bool,
    /// Where its files contradict themselves.
    pub notes: Vec<String>,
    /// The recommended temperature.
    pub temperature: f32,
    /// The recommended `top_p`.
    pub top_p: f32,
}

/// What an engine runs on and takes.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct EngineInfo {
    /// The adapter.
    pub adapter: String,
    /// The driver's name and version, where the browser tells.
    pub driver: String,
    /// Optional features that kernels use.
    pub features: Vec<String>,
    /// Bytes of the largest storage binding.
    pub max_binding: u64,
    /// Bytes of the largest buffer.
    pub max_buffer: u64,
    /// Tokens that the conversation holds at most.
    pub context: u32,
    /// How the KV cache is stored.
    pub kv: String,
    /// Tokens of the conversation.
    pub used_tokens: u64,
    /// Bytes of KV cache that a token takes.
    pub kv_bytes_per_token: u64,
    /// GPU memory in use.
    pub memory: Memory,
    /// Bytes of wasm memory, which never shrinks.
    pub wasm_bytes: f64,
}

/// What a model will take.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, Tsify)]
pub struct Estimate {
    /// What its files say.
    pub model: ModelInfo,
    /// Tokens that the conversation holds at most.
    pub context: u32,
    /// GPU memory when the context is full.
    pub memory: Memory,
    /// Whether loading needs no download.
    pub cached: bool,
}

/// Why a reply ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, Tsify)]
#[serde(rename_all = "lowercase")]
pub enum FinishReason {
    /// The model ended it, or a text of `stop` did.
    Stop,
    /// It has `max_tokens`, or the context is full.
    Length,
}

/// How a reply came about.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize, Tsify)]
pub struct Finish {
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens of the prompt that were there from turns before.
    pub cached_tokens: u64,
    /// Tokens of the reply.
    pub completion_tokens: u64,
    /// Seconds that the prompt took.
    pub prefill_seconds: f64,
    /// Seconds that the reply took.
    pub decode_seconds: f64,
}

/// The TypeScript declarations of all types of this file, as `web/js/wire.ts` has them.
pub fn typescript() -> String {
    let declarations = [
        ErrorName::DECL,
        EngineOptions::DECL,
        Stop::DECL,
        SamplingOptions::DECL,
        Role::DECL,
        Message::DECL,
        Memory::DECL,
        ModelInfo::DECL,
        EngineInfo::DECL,
        Estimate::DECL,
        FinishReason::DECL,
        Finish::DECL,
    ];
    let head =
        "/** Types of what crosses between wasm and JavaScript: generated by web/build.sh. */";
    declarations
        .iter()
        .fold(head.to_owned(), |text, one| format!("{text}\n\n{one}"))
        + "\n"
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_declarations_in_the_tree_are_those_of_these_types() {
        let declared = include_str!("../../js/wire.ts");
        assert_eq!(
            declared,
            super::typescript(),
            "web/js/wire.ts is old; web/build.sh writes it"
        );
    }
}
