/** An engine: a model that runs in a worker, and its conversation. */

import { Completions } from "./completions.js";
import {
  Aborted,
  BadRequest,
  CannotStart,
  DeviceLost,
  describe,
  fromWire,
  NoWebGPU,
  type WireError,
} from "./errors.js";
import type { Calls, Event, FromWorker, Phase, ToWorker } from "./protocol.js";
import type { Source } from "./sources.js";
import { type CachedModel, cachedModels, deleteCached } from "./store.js";
import type { EngineInfo, EngineOptions, Estimate, ModelInfo } from "./wire.js";

/** The progress of loading. */
export interface LoadProgress {
  phase: Phase;
  /** Bytes processed; 0 in the phase `wait`. */
  done: number;
  /** Bytes to process; 0 in the phase `wait`. */
  total: number;
  /** Seconds since the phase began. */
  seconds: number;
}

/** Options of loading, with a progress callback and a signal that stops it. */
export interface LoadOptions extends EngineOptions {
  onProgress?: (progress: LoadProgress) => void;
  signal?: AbortSignal;
}

/** The base of relative URLs: that of the page or worker which imported this package. */
const base = () => globalThis.document?.baseURI ?? globalThis.location?.href ?? "";

/** Throws `NoWebGPU` outside of a browser with WebGPU, for example in Node. */
function needWebGPU(): void {
  if (typeof Worker === "undefined" || typeof navigator === "undefined") {
    throw new NoWebGPU("this environment has no WebGPU; run Godwit's package in a browser");
  }
  if (globalThis.isSecureContext === false) {
    throw new NoWebGPU("browsers offer WebGPU only to pages served over https or from localhost");
  }
  if (!("gpu" in navigator)) {
    throw new NoWebGPU("this browser has no WebGPU; use a current Chrome, Edge, Safari or Firefox");
  }
}

/** A worker, and the calls to it. */
export class Link {
  readonly #worker: Worker;
  readonly #calls = new Map<number, PendingCall>();
  #next = 0;
  #ended: WireError | undefined;
  /** Whether the worker has sent a message. Until then an error means that it could not start. */
  #started = false;

  constructor() {
    try {
      this.#worker = new Worker(new URL("./worker.js", import.meta.url), {
        type: "module",
        name: "godwit",
      });
    } catch (error) {
      throw new CannotStart(
        `${WORKER} could not be started: ${describe(error).message}; ${WORKER_HINT}`,
      );
    }
    this.#worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
      this.#started = true;
      const call = this.#calls.get(data.id);
      if ("event" in data) call?.onEvent?.(data.event);
      else call?.settle(data);
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      if (this.#started)
        this.end(
          "DeviceLost",
          `the worker failed: ${event.message || "without a message"}; load the model again`,
        );
      else
        this.end(
          "CannotStart",
          [`${WORKER} could not be started`, event.message, WORKER_HINT].filter(Boolean).join("; "),
        );
    };
    this.#worker.onmessageerror = () =>
      this.end("DeviceLost", "the worker's message can't be read; load the model again");
  }

  /** Calls a function of the worker. `onEvent` receives events before the call is done. */
  call<Name extends keyof Calls>(
    name: Name,
    parameters: Parameters<Calls[Name]>,
    { onEvent, signal }: { onEvent?: (event: Event) => void; signal?: AbortSignal } = {},
  ): Promise<ReturnType<Calls[Name]>> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(new Aborted("stopped"));
        return;
      }
      if (this.#ended) {
        reject(fromWire(this.#ended));
        return;
      }
      const id = this.#next++;
      const send = (message: ToWorker) => this.#worker.postMessage(message);
      const abort = () => send({ id, abort: true });
      const settle = (message: FromWorker) => {
        this.#calls.delete(id);
        signal?.removeEventListener("abort", abort);
        if ("error" in message) reject(fromWire(message.error));
        else if ("value" in message) resolve(message.value as ReturnType<Calls[Name]>);
      };
      try {
        send({ id, call: name, arguments: parameters });
      } catch (error) {
        // Functions, for example, can't be cloned.
        reject(
          new BadRequest(
            `an argument of ${name} can't be sent to the worker: ${describe(error).message}`,
          ),
        );
        return;
      }
      this.#calls.set(id, { settle, onEvent });
      signal?.addEventListener("abort", abort);
    });
  }

  /** Ends the worker. All pending and later calls fail with this error. */
  end(name: WireError["name"], message: string): void {
    this.#ended ??= { name, message };
    this.#worker.terminate();
    for (const [id, call] of this.#calls) call.settle({ id, error: this.#ended });
  }
}

/** A call that has no result yet. */
interface PendingCall {
  settle(message: FromWorker): void;
  onEvent?: (event: Event) => void;
}

const WORKER = "Godwit's worker";
const WORKER_HINT =
  "serve worker.js beside index.js, from the page's own origin, and let the page's " +
  "Content-Security-Policy allow it (worker-src)";

/** The conversation's tokens and KV cache. */
export class Session {
  constructor(private readonly link: Link) {}

  /** The conversation's token ids. */
  tokens(): Promise<number[]> {
    return this.link.call("tokens", []);
  }

  /** A snapshot of the context, with a note (any JSON value) that [`Session.resume`] returns. */
  save(note?: unknown): Promise<Blob> {
    return this.link.call("save", [note]);
  }

  /** Replaces the conversation with a snapshot. Returns the snapshot's note. */
  async resume(context: Blob): Promise<unknown> {
    if (!(context instanceof Blob))
      throw new BadRequest("context must be a Blob that save() returned");
    return this.link.call("resume", [context]);
  }
}

/** A model on the GPU. */
export class Engine {
  /** The description of the model, from its files. */
  readonly model: ModelInfo;
  /** The conversation. */
  readonly session: Session;
  /** OpenAI's API: `engine.chat.completions.create({ messages })`. */
  readonly chat: { completions: Completions };
  readonly #link: Link;

  private constructor(link: Link, model: ModelInfo) {
    this.#link = link;
    this.model = model;
    this.session = new Session(link);
    this.chat = { completions: new Completions(link, model.name) };
  }

  /**
   * Loads a model. Files from a URL are kept: loading them again needs no network, and an
   * interrupted download resumes. Before it downloads weights, `load` compares the model's needs
   * with the adapter. While another tab loads the same model, `load` waits. Throws `NoWebGPU`,
   * `CannotStart`, `OutOfMemory`, `BadModel`, `NetworkError`, `StorageError`, `BadRequest`,
   * `DeviceLost` or `Aborted`.
   */
  static async load(
    source: Source,
    { onProgress, signal, ...options }: LoadOptions = {},
  ): Promise<Engine> {
    needWebGPU();
    const link = new Link();
    let [phase, begin] = ["", 0];
    const onEvent = (event: Event) => {
      if (event.kind !== "progress" || event.phase === "prompt") return;
      if (event.phase !== phase) [phase, begin] = [event.phase, performance.now()];
      const { done, total } = event;
      const seconds = (performance.now() - begin) / 1000;
      onProgress?.({ phase: event.phase, done, total, seconds });
    };
    try {
      return new Engine(
        link,
        await link.call("load", [source, base(), options], { onEvent, signal }),
      );
    } catch (error) {
      // Ending the worker frees the memory that the model took.
      link.end("Aborted", "loading failed");
      throw error;
    }
  }

  /**
   * Estimates the GPU memory that a model needs, from the first megabytes of its files. Needs no
   * GPU. Throws the same errors as `load`.
   */
  static async estimate(
    source: Source,
    { signal, ...options }: EngineOptions & { signal?: AbortSignal } = {},
  ): Promise<Estimate> {
    if (typeof Worker === "undefined") needWebGPU();
    const link = new Link();
    try {
      return await link.call("estimate", [source, base(), options], { signal });
    } finally {
      link.end("Aborted", "done");
    }
  }

  /** The models that this browser keeps. */
  static cached(): Promise<CachedModel[]> {
    return cachedModels();
  }

  /** Deletes a kept model. Throws a `StorageError` if another tab is loading it. */
  static deleteCached(source: string): Promise<void> {
    return deleteCached(source);
  }

  /** The adapter, its limits, and the memory in use. */
  info(): Promise<EngineInfo> {
    return this.#link.call("info", []);
  }

  /** The token ids of a text. With `special`, names of control tokens become these tokens. */
  async tokenize(text: string, special = false): Promise<number[]> {
    if (typeof text !== "string") throw new BadRequest(`text is ${text}, but it must be a string`);
    return this.#link.call("tokenize", [text, special]);
  }

  /** The text of token ids. */
  detokenize(ids: number[]): Promise<string> {
    return this.#link.call("detokenize", [ids]);
  }

  /** Frees all memory. No method can be called afterwards. */
  destroy(): void {
    this.#link.end(new DeviceLost().name, "the engine was destroyed");
  }
}
