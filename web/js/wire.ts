/** Types of what crosses between wasm and JavaScript. web/build.sh generates them from web/src/wire.rs. */

/**
 * The class of an error, as its `name` says.
 */
export type ErrorName = "NoWebGPU" | "CannotStart" | "OutOfMemory" | "DeviceLost" | "BadModel" | "NetworkError" | "StorageError" | "ContextFull" | "BadContext" | "BadRequest" | "Aborted" | "GodwitError";

/**
 * How a model is loaded.
 */
export interface EngineOptions {
    /**
     * Tokens that the conversation holds at most, and never more than the model's window. The
     * default is 8,192, or what fits `memory` where that is less.
     */
    context?: number;
    /**
     * How the KV cache is stored: `f32`, `f16`, `q8_0`, `q4_0`, or two of them as `keys/values`.
     * The default is `f16`.
     */
    kv?: string;
    /**
     * Bytes of GPU memory to take at most. The default is no limit.
     */
    memory?: number;
    /**
     * Copies picked files to where downloaded models are kept, if there is room: then they need not
     * be picked again.
     */
    keep?: boolean;
    /**
     * Asks for no more than every WebGPU device has.
     */
    webgpuLimits?: boolean;
}

/**
 * Texts that end a reply.
 */
export type Stop = string | string[];

/**
 * How tokens are chosen: OpenAI's parameters, and more. The default of each is the model's
 * recommendation.
 */
export interface SamplingOptions {
    /**
     * Logits are divided by this: at least 0, where 0 always chooses the most likely token.
     */
    temperature?: number;
    /**
     * Keeps the most likely tokens whose probabilities reach this sum: above 0 and at most 1.
     */
    top_p?: number;
    /**
     * Keeps this many of the most likely tokens: a whole number, where 0 keeps all.
     */
    top_k?: number;
    /**
     * Keeps tokens at least this fraction as likely as the most likely one: between 0 and 1.
     */
    min_p?: number;
    /**
     * Divides the logits of tokens seen lately: above 0, where 1 is off.
     */
    repetition_penalty?: number;
    /**
     * Subtracted once from the logit of each token seen lately: between -2 and 2.
     */
    presence_penalty?: number;
    /**
     * Subtracted from a token's logit each time it was seen lately: between -2 and 2.
     */
    frequency_penalty?: number;
    /**
     * A whole number. The same seed, prompt and parameters give the same text. The default is random.
     */
    seed?: number;
    /**
     * Tokens of the reply at most: a whole number, at least 1. The default is what the context holds.
     */
    max_tokens?: number;
    /**
     * Texts that end the reply, which does not contain them.
     */
    stop?: Stop;
    /**
     * How many replies: 1, as there is one conversation.
     */
    n?: number;
}

/**
 * Whose message it is.
 */
export type Role = "system" | "user" | "assistant" | "tool";

/**
 * A message of a conversation.
 */
export interface Message {
    /**
     * Whose it is.
     */
    role: Role;
    /**
     * Its text.
     */
    content: string;
}

/**
 * GPU memory in bytes, by use.
 */
export interface Memory {
    /**
     * Weights and rotation tables.
     */
    weights: number;
    /**
     * The KV cache.
     */
    kv: number;
    /**
     * Activations and logits.
     */
    scratch: number;
    /**
     * All of it.
     */
    total: number;
}

/**
 * What a model's files say.
 */
export interface ModelInfo {
    /**
     * The model's name.
     */
    name: string;
    /**
     * What kind of files it has.
     */
    kind: string;
    /**
     * Bytes of all files.
     */
    fileBytes: number;
    /**
     * Tokens that the model was made for.
     */
    window: number;
    /**
     * Layers.
     */
    layers: number;
    /**
     * Tokens of the vocabulary.
     */
    vocab: number;
    /**
     * Whether it has a chat template, its own or a known one.
     */
    chat: boolean;
    /**
     * Where its files contradict themselves.
     */
    notes: string[];
    /**
     * The recommended temperature.
     */
    temperature: number;
    /**
     * The recommended `top_p`.
     */
    topP: number;
}

/**
 * What an engine runs on and takes.
 */
export interface EngineInfo {
    /**
     * The adapter.
     */
    adapter: string;
    /**
     * The driver's name and version, where the browser tells.
     */
    driver: string;
    /**
     * Optional features that kernels use.
     */
    features: string[];
    /**
     * Bytes of the largest storage binding.
     */
    maxBinding: number;
    /**
     * Bytes of the largest buffer.
     */
    maxBuffer: number;
    /**
     * Tokens that the conversation holds at most.
     */
    context: number;
    /**
     * How the KV cache is stored.
     */
    kv: string;
    /**
     * Tokens of the conversation.
     */
    usedTokens: number;
    /**
     * Bytes of KV cache that a token takes.
     */
    kvBytesPerToken: number;
    /**
     * GPU memory in use.
     */
    memory: Memory;
    /**
     * Bytes of wasm memory, which never shrinks.
     */
    wasmBytes: number;
}

/**
 * What a model will take.
 */
export interface Estimate {
    /**
     * What its files say.
     */
    model: ModelInfo;
    /**
     * Tokens that the conversation holds at most.
     */
    context: number;
    /**
     * GPU memory when the context is full.
     */
    memory: Memory;
    /**
     * Whether loading needs no download.
     */
    cached: boolean;
}

/**
 * Why a reply ended.
 */
export type FinishReason = "stop" | "length";

/**
 * How a reply came about.
 */
export interface Finish {
    /**
     * Why it ended.
     */
    finish_reason: FinishReason;
    /**
     * Tokens of the prompt.
     */
    prompt_tokens: number;
    /**
     * Tokens of the prompt that were there from turns before.
     */
    cached_tokens: number;
    /**
     * Tokens of the reply.
     */
    completion_tokens: number;
    /**
     * Seconds that the prompt took.
     */
    prefill_seconds: number;
    /**
     * Seconds that the reply took.
     */
    decode_seconds: number;
}
