/** Messages between a page and its worker. */

import type { WireError } from "./errors.js";
import type { Source } from "./sources.js";

/**
 * What is done while a model is loaded: waiting for another tab that gets the same model, the download, copying picked files,
 * checking a hash, bringing weights to the GPU.
 */
export type Phase = "wait" | "download" | "copy" | "verify" | "gpu";

/** How a model is loaded. */
export interface EngineOptions {
  /** Tokens that the conversation holds at most, 8,192 where nobody says; never more than the model's window. */
  context?: number;
  /** How the KV cache is stored: `f32`, `f16`, `q8_0`, `q4_0`, or two of them as `keys/values`. `f16`. */
  kv?: string;
  /** Bytes of GPU memory to take at most. What there is. */
  memory?: number;
  /** Copies picked files to where downloaded models are kept, if there is room: then they need not be picked again. */
  keep?: boolean;
  /** Asks for no more than every WebGPU device has. */
  webgpuLimits?: boolean;
}

/** How tokens are chosen: what OpenAI's API has, and more. The default is the model's recommendation. */
export interface SamplingOptions {
  temperature?: number;
  top_p?: number;
  top_k?: number;
  min_p?: number;
  repetition_penalty?: number;
  presence_penalty?: number;
  frequency_penalty?: number;
  /** The same seed, prompt and parameters give the same text. Random. */
  seed?: number;
  max_tokens?: number;
  stop?: string | string[];
}

/** What somebody said. */
export interface Message {
  role: "system" | "user" | "assistant";
  content: string;
}

/** GPU memory in bytes, by use. */
export interface Memory {
  weights: number;
  kv: number;
  scratch: number;
  total: number;
}

/** What a model's files say. */
export interface ModelInfo {
  name: string;
  /** What kind of files it has. */
  kind: string;
  fileBytes: number;
  /** Tokens that it was made for. */
  window: number;
  layers: number;
  vocab: number;
  /** Whether it has a chat template, its own or a known one. */
  chat: boolean;
  /** Where its files contradict themselves. */
  notes: string[];
  temperature: number;
  top_p: number;
}

/** What an engine runs on and takes. */
export interface EngineInfo {
  adapter: string;
  driver: string;
  features: string[];
  maxBinding: number;
  maxBuffer: number;
  context: number;
  kv: string;
  usedTokens: number;
  kvBytesPerToken: number;
  memory: Memory;
  /** Bytes of wasm memory, which never shrinks. */
  wasmBytes: number;
}

/** What a model will take. */
export interface Estimate {
  model: ModelInfo;
  context: number;
  /** GPU memory when the context is full. */
  memory: Memory;
  /** Whether loading needs no download. */
  cached: boolean;
}

/** How a reply came about. */
export interface Finish {
  finish_reason: "stop" | "length";
  prompt_tokens: number;
  cached_tokens: number;
  completion_tokens: number;
  prefill_seconds: number;
  decode_seconds: number;
}

/** A reply's options, as wasm takes them. */
export type ReplyOptions = Omit<SamplingOptions, "stop"> & { stop: string[]; seed: number };

/** What a worker can be asked. */
export interface Calls {
  estimate(source: Source, base: string, options: EngineOptions): Estimate;
  load(source: Source, base: string, options: EngineOptions): ModelInfo;
  info(): EngineInfo;
  tokenize(text: string, special: boolean): number[];
  detokenize(ids: number[]): string;
  tokens(): number[];
  reply(prompt: Message[] | number[], options: ReplyOptions, continued: boolean): Finish;
  save(note: unknown): Blob;
  resume(context: Blob): unknown;
}

/** What a call tells before it is done. */
export type Event =
  | { kind: "progress"; phase: Phase | "prompt"; done: number; total: number }
  | { kind: "text"; text: string; ids: number[] };

/** To the worker. */
export type ToWorker = { id: number; call: keyof Calls; arguments: unknown[] } | { id: number; abort: true };

/** From the worker. */
export type FromWorker = { id: number } & ({ event: Event } | { value: unknown } | { error: WireError });
