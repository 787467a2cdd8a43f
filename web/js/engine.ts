/** A model in a worker of its own, and its conversation. */

import { Completions } from "./completions.js";
import { Aborted, DeviceLost, NoWebGPU, fromWire } from "./errors.js";
import type {
  Calls, EngineInfo, EngineOptions, Estimate, Event, FromWorker, ModelInfo, Phase, ToWorker,
} from "./protocol.js";
import type { Source } from "./sources.js";
import { type CachedModel, cachedModels, deleteCached } from "./store.js";

/** How far loading is. */
export interface LoadProgress {
  phase: Phase;
  /** Bytes done. */
  done: number;
  /** Bytes in all. */
  total: number;
  /** Seconds since the phase began. */
  seconds: number;
}

/** How a model is loaded, and who hears of it. */
export interface LoadOptions extends EngineOptions {
  onProgress?: (progress: LoadProgress) => void;
  signal?: AbortSignal;
}

/** A worker that answers calls. */
export class Link {
  readonly #worker: Worker;
  readonly #calls = new Map<number, { settle(message: FromWorker): void; event?: (event: Event) => void }>();
  #next = 0;
  #ended: WireEnd | undefined;

  constructor() {
    this.#worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module", name: "godwit" });
    this.#worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
      const call = this.#calls.get(data.id);
      if ("event" in data) call?.event?.(data.event);
      else call?.settle(data);
    };
    this.#worker.onerror = (event) => this.end("DeviceLost", `the worker failed: ${event.message || "it could not be started"}`);
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
      this.#calls.set(id, { settle, event });
      signal?.addEventListener("abort", abort);
      send({ id, call: name, arguments: rest });
    });
  }

  /** Ends the worker, and all its calls with this error. */
  end(name: string, message: string): void {
    this.#ended ??= { name, message };
    this.#worker.terminate();
    for (const [id, call] of this.#calls) call.settle({ id, error: this.#ended });
  }
}

type WireEnd = { name: string; message: string };

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
  resume(context: Blob): Promise<unknown> {
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
   * it was. Throws NoWebGPU, OutOfMemory, BadModel, NetworkError, BadRequest, or Aborted.
   */
  static async load(source: Source, { onProgress, signal, ...options }: LoadOptions = {}): Promise<Engine> {
    if (!("gpu" in navigator)) throw new NoWebGPU("this browser has no WebGPU; a current Chrome, Edge, Safari or Firefox has");
    const link = new Link();
    let [phase, begin] = ["", 0];
    const event = (event: Event) => {
      if (event.kind !== "progress" || event.phase === "prompt") return;
      if (event.phase !== phase) [phase, begin] = [event.phase, performance.now()];
      const { done, total } = event;
      onProgress?.({ phase: event.phase, done, total, seconds: (performance.now() - begin) / 1000 });
    };
    try {
      return new Engine(link, await link.call("load", [source, document.baseURI, options], { event, signal }));
    } catch (error) {
      // All that the model took goes with its worker.
      link.end("Aborted", "loading failed");
      throw error;
    }
  }

  /** What a model will take, from its first megabytes: nothing else is downloaded. */
  static async estimate(source: Source, { signal, ...options }: EngineOptions & { signal?: AbortSignal } = {}): Promise<Estimate> {
    const link = new Link();
    try {
      return await link.call("estimate", [source, document.baseURI, options], { signal });
    } finally {
      link.end("Aborted", "done");
    }
  }

  /** The models that are kept. */
  static cached(): Promise<CachedModel[]> {
    return cachedModels();
  }

  /** Deletes what is kept of a model. */
  static deleteCached(source: string): Promise<void> {
    return deleteCached(source);
  }

  /** What the engine runs on and takes. */
  info(): Promise<EngineInfo> {
    return this.#link.call("info", []);
  }

  /** A text's token ids. With `special`, control tokens that it spells out count as such. */
  tokenize(text: string, special = false): Promise<number[]> {
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
