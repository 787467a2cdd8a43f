/** Messages between a page and its worker. */

import type { WireError } from "./errors.js";
import type { Source } from "./sources.js";
import type {
  EngineInfo,
  EngineOptions,
  Estimate,
  Finish,
  Message,
  ModelInfo,
  SamplingOptions,
} from "./wire.js";

/**
 * What is done while a model is loaded: waiting for another tab that loads the same model, the
 * download, copying picked files, checking a hash, bringing weights to the GPU.
 */
export type Phase = "wait" | "download" | "copy" | "verify" | "gpu";

/** What a worker can be asked. */
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

/** What a call tells before it is done. */
export type Event =
  | { kind: "progress"; phase: Phase | "prompt"; done: number; total: number }
  | { kind: "text"; text: string; ids: number[] };

/** To the worker. */
export type ToWorker = { id: number; call: keyof Calls; arguments: unknown[] } | { id: number; abort: true };

/** From the worker. */
export type FromWorker = { id: number } & ({ event: Event } | { value: unknown } | { error: WireError });
