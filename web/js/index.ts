/** Godwit: language models in the browser, on WebGPU. */

export { Engine, Session, type LoadOptions, type LoadProgress } from "./engine.js";
export { Completions, type Completion, type CompletionChunk, type CompletionParams, type Usage } from "./completions.js";
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
export { type Source, keptSource } from "./sources.js";
export type { CachedModel } from "./store.js";
