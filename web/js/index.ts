/** Godwit: language models on the GPU of whoever opens the page. */

export { Engine, Session, type LoadOptions, type LoadProgress } from "./engine.js";
export { Completions, type Completion, type CompletionChunk, type CompletionParams, type Usage } from "./completions.js";
export * from "./errors.js";
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
