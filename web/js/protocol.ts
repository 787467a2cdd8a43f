/** Messages between a page and its worker. */

import type { WireError } from "./errors.js";
import type { Source } from "./sources.js";
import type {
  EngineInfo,
  EngineOptions,
  Estimate,
  Finish,
  FinishReason,
  Message,
  ModelInfo,
  SamplingOptions,
} from "./wire.js";

/**
 * A phase of loading: waiting for another tab that loads the same model, downloading, copying
 * picked files, verifying a hash, writing weights to the GPU.
 */
export type Phase = "wait" | "download" | "copy" | "verify" | "gpu";

/** The functions of the worker that a page can call. */
export interface Calls {
  estimate(source: Source, base: string, options: EngineOptions): Estimate;
  load(source: Source, base: string, options: EngineOptions): ModelInfo;
  info(): EngineInfo;
  tokenize(text: string, special: boolean): number[];
  detokenize(ids: number[]): string;
  tokens(): number[];
  reply(messages: Message[], options: SamplingOptions, continued: boolean): Finish;
  save(note: unknown): Blob;
  resume(context: Blob): unknown;
}

/** A message that a call sends before its result. */
export type Event =
  | { kind: "progress"; phase: Phase | "prompt"; done: number; total: number }
  | { kind: "text"; index: number; text: string; ids: number[] }
  | { kind: "end"; index: number; reason: FinishReason };

/** A message to the worker: a call, or the request to abort one. */
export type ToWorker =
  | { id: number; call: keyof Calls; arguments: unknown[] }
  | { id: number; abort: true };

/** A message from the worker: an event, the result or the error of a call. */
export type FromWorker = { id: number } & (
  | { event: Event }
  | { value: unknown }
  | { error: WireError }
);
