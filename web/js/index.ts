/** Godwit: language models in the browser, on WebGPU. */

export {
  type Choice,
  type ChunkChoice,
  type Completion,
  type CompletionChunk,
  type CompletionParams,
  Completions,
  type Usage,
} from "./completions.js";
export { Engine, type LoadOptions, type LoadProgress, Session } from "./engine.js";
export {
  Aborted,
  BadContext,
  BadModel,
  BadRequest,
  CannotStart,
  ContextFull,
  DeviceLost,
  GodwitError,
  NetworkError,
  NoWebGPU,
  OutOfMemory,
  StorageError,
} from "./errors.js";
export type { Phase } from "./protocol.js";
export { keptSource, type Source } from "./sources.js";
export type { CachedModel } from "./store.js";
export type {
  EngineInfo,
  EngineOptions,
  ErrorName,
  Estimate,
  FinishReason,
  Memory,
  Message,
  ModelInfo,
  Role,
  SamplingOptions,
  Stop,
} from "./wire.js";
