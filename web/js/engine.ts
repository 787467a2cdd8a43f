/** A model in a worker of its own, and its conversation. */

import { Completions } from "./completions.js";
import {
  Aborted,
  BadRequest,
  CannotStart,
  DeviceLost,
  NoWebGPU,
  type WireError,
  fromWire,
  words,
} from "./errors.js";
import type { Calls, Event, FromWorker, Phase, ToWorker } from "./protocol.js";
import type { Source } from "./sources.js";
import { type CachedModel, cachedModels, deleteCached } from "./store.js";
import type { EngineInfo, EngineOptions, Estimate, ModelInfo } from "./wire.js";

/** How far loading is. */
export interface LoadProgress {
  phase: Phase;
  /** Bytes done; 0 while it waits. */
  done: number;
  /** Bytes in all; 0 while it waits. */
  total: number;
  /** Seconds since the phase began. */
  seconds: number;
}

/** How a model is loaded, and who hears of it. */
export interface LoadOptions extends EngineOptions {
  onProgress?: (progress: LoadProgress) => void;
  signal?: AbortSignal;
}

/** The base of relative URLs: the page's, or that of a worker which has loaded this package. */
const base = () => globalThis.document?.baseURI ?? globalThis.location?.href ?? "";

/** Throws where no browser with WebGPU is around: in Node, for example. */
function needWebGPU(): void {
  if (typeof Worker === "undefined" || typeof navigator === "undefined") {
    throw new NoWebGPU("there is no WebGPU here: Godwit's package runs in browsers");
  }
  if (globalThis.isSecureContext === false) {
    throw new NoWebGPU("browsers offer WebGPU only to pages that come by https, or from localhost");
  }
  if (!("gpu" in navigator)) {
    throw new NoWebGPU("this browser has no WebGPU; a current Chrome, Edge, Safari or Firefox has");
  }
}

/** A worker that answers calls. */
export class Link {
  readonly #worker: Worker;
  readonly #calls = new Map<number, { settle(message: FromWorker): void; event?: (event: Event) => void }>();
  #next = 0;
  #ended: WireError | undefined;
  /** Whether the worker ever said anything. */
  #started = false;

  constructor() {
    try {
      this.#worker = new Worker(new URL("./worker.js", import.meta.url), {
        type: "module",
        name: "godwit",
      });
    } catch (error) {
      throw new CannotStart(
        `${WORKER} could not be started: ${words(error).message}; ${WORKER_HINT}`,
      );
    }
    this.#worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
      this.#started = true;
      const call = this.#calls.get(data.id);
      if ("event" in data) call?.event?.(data.event);
      else call?.settle(data);
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      if (this.#started)
        this.end(
          "DeviceLost",
          `the worker failed: ${event.message || "it does not say why"}; load the model again`,
        );
      else
        this.end(
          "CannotStart",
          [`${WORKER} could not be started`, event.message, WORKER_HINT].filter(Boolean).join("; "),
        );
    };
    this.#worker.onmessageerror = () =>
      this.end("DeviceLost", "the worker's answer can't be read; load the model again");
  }

  call<Name extends keyof Calls>(
    name: Name,
    rest: Parameters<Calls[Name]>,
    { event, signal }: { event?: (event: Event) => void; signal?: AbortSignal } = {},
  ): Promise<ReturnType<Calls[Name]>> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(new Aborted("stopped"));
      if (this.#ended) return reject(fromWire(this.#ended));
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
        send({ id, call: name, arguments: rest });
      } catch (error) {
        // Functions, for example, can't be sent.
        return reject(
          new BadRequest(
            `what was given to ${name} can't be sent to the worker: ${words(error).message}`,
          ),
        );
      }
      this.#calls.set(id, { settle, event });
      signal?.addEventListener("abort", abort);
    });
  }

  /** Ends the worker, and all its calls with this error. */
  end(name: WireError["name"], message: string): void {
    this.#ended ??= { name, message };
    this.#worker.terminate();
    for (const [id, call] of this.#calls) call.settle({ id, error: this.#ended });
  }
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

  /** The context as a file, with a note (any JSON value) that comes back from [`Session.resume`]. */
  save(note?: unknown): Promise<Blob> {
    return this.link.call("save", [note]);
  }

  /** Goes on from a saved context, which replaces the conversation. Returns its note. */
  async resume(context: Blob): Promise<unknown> {
    if (!(context instanceof Blob))
      throw new BadRequest("context must be a Blob that save() returned");
    return this.link.call("resume", [context]);
  }
}

/** A model on the GPU. */
export class Engine {
  /** What the model's files say. */
  readonly model: ModelInfo;
  /** The conversation. */
  readonly session: Session;
  /** OpenAI's way to ask: `engine.chat.completions.create({ messages })`. */
  readonly chat: { completions: Completions };
  readonly #link: Link;

  private constructor(link: Link, model: ModelInfo) {
    this.#link = link;
    this.model = model;
    this.session = new Session(link);
    this.chat = { completions: new Completions(link, model.name) };
  }

  /**
   * Loads a model. What comes from a URL is kept, and needs no network the next time; an interrupted download goes on where
   * it was. The adapter and the model's head are looked at first: where the model can't run,
   * nothing is downloaded. While another tab loads the same model, `load` waits. Throws NoWebGPU,
   * CannotStart, OutOfMemory, BadModel, NetworkError, StorageError, BadRequest, DeviceLost, or
   * Aborted.
   */
  static async load(source: Source, { onProgress, signal, ...options }: LoadOptions = {}): Promise<Engine> {
    needWebGPU();
    const link = new Link();
    let [phase, begin] = ["", 0];
    const event = (event: Event) => {
      if (event.kind !== "progress" || event.phase === "prompt") return;
      if (event.phase !== phase) [phase, begin] = [event.phase, performance.now()];
      const { done, total } = event;
      onProgress?.({ phase: event.phase, done, total, seconds: (performance.now() - begin) / 1000 });
    };
    try {
      return new Engine(
        link,
        await link.call("load", [source, base(), options], { event, signal }),
      );
    } catch (error) {
      // All that the model took goes with its worker.
      link.end("Aborted", "loading failed");
      throw error;
    }
  }

  /**
   * What a model will take, from its first megabytes: nothing else is downloaded. Needs no GPU.
   * Throws what `load` throws.
   */
  static async estimate(source: Source, { signal, ...options }: EngineOptions & { signal?: AbortSignal } = {}): Promise<Estimate> {
    if (typeof Worker === "undefined") needWebGPU();
    const link = new Link();
    try {
      return await link.call("estimate", [source, base(), options], { signal });
    } finally {
      link.end("Aborted", "done");
    }
  }

  /** The models that are kept. */
  static cached(): Promise<CachedModel[]> {
    return cachedModels();
  }

  /** Deletes what is kept of a model. Throws a StorageError where another tab is loading it. */
  static deleteCached(source: string): Promise<void> {
    return deleteCached(source);
  }

  /** What the engine runs on and takes. */
  info(): Promise<EngineInfo> {
    return this.#link.call("info", []);
  }

  /** A text's token ids. With `special`, control tokens that it spells out count as such. */
  async tokenize(text: string, special = false): Promise<number[]> {
    if (typeof text !== "string") throw new BadRequest(`text is ${text}, but it must be a string`);
    return this.#link.call("tokenize", [text, special]);
  }

  /** The text of token ids. */
  detokenize(ids: number[]): Promise<string> {
    return this.#link.call("detokenize", [ids]);
  }

  /** Gives back all memory. */
  destroy(): void {
    this.#link.end(new DeviceLost().name, "the engine was destroyed");
  }
}
