//! The types that cross between wasm and JavaScript.
//!
//! `web/bindgen` generates the TypeScript declarations in `web/js/wire.ts` from these types, so the
//! two languages can't differ.

use serde::{Deserialize, Serialize};
use tsify::Tsify;

/// The name of an error's class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Tsify)]
pub enum ErrorName {
    /// The browser has no WebGPU, or no adapter that meets the requirements.
    NoWebGPU,
    /// The worker or its WebAssembly could not be started.
    CannotStart,
    /// The GPU or the browser has too little memory.
    OutOfMemory,
    /// The GPU device was lost, or the engine failed.
    DeviceLost,
    /// The files are damaged, or hold no model that Godwit runs.
    BadModel,
    /// A server can't be reached, or refuses the request.
    NetworkError,
    /// The browser's storage can't be read or written.
    StorageError,
    /// The prompt does not fit the context.
    ContextFull,
    /// A snapshot is damaged, or belongs to another model.
    BadContext,
    /// A parameter is unknown, has the wrong type or is out of range.
    BadRequest,
    /// The caller stopped the work.
    Aborted,
    /// Any other error: a bug in this library.
    GodwitError,
}

impl ErrorName {
    /// The name of the JavaScript class.
    pub fn name(self) -> String {
        format!("{self:?}")
    }
}

/// Options of loading a model.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, Tsify)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EngineOptions {
    /// The largest number of tokens in the conversation, limited to the model's window. The default
    /// is 8,192, or what fits into `memory` if that is less.
    #[tsify(optional)]
    pub context: Option<f64>,
    /// The type of the KV cache: `f32`, `f16`, `q8_0`, `q4_0`, or two of them as `keys/values`. The
    /// default is `f16`.
    #[tsify(optional)]
    pub kv: Option<String>,
    /// The largest number of bytes of GPU memory to use. The default is no limit.
    #[tsify(optional)]
    pub memory: Option<f64>,
    /// Keeps a copy of picked files in the browser, if there is room, so that they need not be
    /// picked again.
    #[tsify(optional)]
    pub keep: Option<bool>,
    /// Uses only features and limits that every WebGPU device has.
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

/// The parameters of sampling: those of OpenAI's API, and more. The default of each is the model's
/// recommendation.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, Tsify)]
#[serde(deny_unknown_fields)]
pub struct SamplingOptions {
    /// Divides the logits: at least 0, where 0 always chooses the most likely token.
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
    /// Divides the logits of recent tokens: above 0, where 1 is off.
    #[tsify(optional)]
    pub repetition_penalty: Option<f64>,
    /// Is subtracted once from the logit of each recent token: between -2 and 2.
    #[tsify(optional)]
    pub presence_penalty: Option<f64>,
    /// Is subtracted from a token's logit for each recent occurrence: between -2 and 2.
    #[tsify(optional)]
    pub frequency_penalty: Option<f64>,
    /// The seed of the random numbers, a whole number. The same seed, prompt and parameters give
    /// the same text. Reply number i of `n` uses the seed plus i. The default is random.
    #[tsify(optional)]
    pub seed: Option<f64>,
    /// The largest number of tokens in the reply: a whole number, at least 1. The default is what
    /// fits into the context.
    #[tsify(optional)]
    pub max_tokens: Option<f64>,
    /// Texts that end the reply. The reply does not contain them.
    #[tsify(optional)]
    pub stop: Option<Stop>,
    /// The number of replies to the prompt: a whole number from 1 to 16. The default is 1. More
    /// than one leave the conversation as it is.
    #[tsify(optional)]
    pub n: Option<f64>,
}

/// The author of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, Tsify)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions for the whole conversation.
    System,
    /// The user.
    User,
    /// The model.
    Assistant,
    /// The result of a function that the model called, if its chat template has such messages.
    Tool,
}

impl Role {
    /// The name in chat templates.
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
    /// The author.
    pub role: Role,
    /// The text.
    pub content: String,
}

/// GPU memory in bytes, by use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, Tsify)]
pub struct Memory {
    /// Weights and RoPE tables.
    pub weights: u64,
    /// The KV cache.
    pub kv: u64,
    /// Activations and logits.
    pub scratch: u64,
    /// The sum.
    pub total: u64,
}

/// The description of a model, from its files.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct ModelInfo {
    /// The model's name.
    pub name: String,
    /// The kind of its files.
    pub kind: String,
    /// Bytes of all files.
    pub file_bytes: u64,
    /// The model's context window, in tokens.
    pub window: u32,
    /// The number of layers.
    pub layers: u32,
    /// The number of tokens in the vocabulary.
    pub vocab: u32,
    /// Whether a chat template is available: in the files, or a known one.
    pub chat: bool,
    /// Contradictions in the files.
    pub notes: Vec<String>,
    /// The recommended temperature.
    pub temperature: f32,
    /// The recommended `top_p`.
    pub top_p: f32,
}

/// The adapter of an engine, its limits, and the memory in use.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct EngineInfo {
    /// The adapter.
    pub adapter: String,
    /// The driver's name and version, if the browser reports them.
    pub driver: String,
    /// Optional features that kernels use.
    pub features: Vec<String>,
    /// Bytes of the largest storage binding.
    pub max_binding: u64,
    /// Bytes of the largest buffer.
    pub max_buffer: u64,
    /// The largest number of tokens in the conversation.
    pub context: u32,
    /// The type of the KV cache.
    pub kv: String,
    /// The number of tokens in the conversation.
    pub used_tokens: u64,
    /// Bytes of KV cache for each token.
    pub kv_bytes_per_token: u64,
    /// GPU memory in use.
    pub memory: Memory,
    /// Bytes of wasm memory, which never shrinks.
    pub wasm_bytes: f64,
}

/// The memory that a model needs.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, Tsify)]
pub struct Estimate {
    /// The description of the model.
    pub model: ModelInfo,
    /// The largest number of tokens in the conversation.
    pub context: u32,
    /// GPU memory when the context is full.
    pub memory: Memory,
    /// Whether loading needs no download.
    pub cached: bool,
}

/// The reason why a reply ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, Tsify)]
#[serde(rename_all = "lowercase")]
pub enum FinishReason {
    /// The model chose an end token, or the text contains one of `stop`.
    Stop,
    /// The reply has `max_tokens`, or the context is full.
    Length,
}

/// The end of a call's last reply, and the token counts and times of all its replies.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize, Tsify)]
pub struct Finish {
    /// The index of the reply that ended last.
    pub index: u32,
    /// The reason why it ended.
    pub finish_reason: FinishReason,
    /// The number of tokens in the prompt.
    pub prompt_tokens: u64,
    /// Prompt tokens that the KV cache already held.
    pub cached_tokens: u64,
    /// The number of tokens in all replies.
    pub completion_tokens: u64,
    /// Seconds of prefill.
    pub prefill_seconds: f64,
    /// Seconds of decode.
    pub decode_seconds: f64,
}

/// The TypeScript declarations of all types of this file: the content of `web/js/wire.ts`.
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
        "/** The types that cross between wasm and JavaScript. Generated by web/build.sh. */";
    let text = declarations.map(wrapped).join("\n\n");
    format!("{head}\n\n{text}\n")
}

/// A declaration whose last line, a union of more than 100 columns, has a line for each member.
fn wrapped(declaration: &str) -> String {
    match declaration.rsplit_once('\n') {
        Some((docs, union)) if union.len() > 100 && union.starts_with("export type ") => {
            let union = union.replacen(" = ", " =\n    | ", 1);
            let (name, members) = union.split_once('\n').unwrap_or((&union, ""));
            let members = members
                .trim_start_matches("    | ")
                .replace(" | ", "\n    | ");
            format!("{docs}\n{name}\n    | {members}")
        }
        _ => declaration.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_declarations_in_the_tree_are_those_of_these_types() {
        let declared = include_str!("../../js/wire.ts");
        let expected = super::typescript();
        assert_eq!(
            declared, expected,
            "web/js/wire.ts is out of date; run web/build.sh"
        );
    }
}
