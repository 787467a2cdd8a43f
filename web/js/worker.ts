/** The worker: owns the wasm module, the model and the conversation, and runs calls in order. */

import init, { Sha256, type WebEngine, WebGpu, WebModel } from "godwit-wasm";
import {
  Aborted,
  BadModel,
  BadRequest,
  CannotStart,
  describe,
  isTrap,
  OutOfMemory,
  toWire,
  type WireError,
} from "./errors.js";
import { BlobFile, reading } from "./files.js";
import { discard, type Obtained, obtain, peek, type Report } from "./obtain.js";
import type { Calls, Event, FromWorker, ToWorker } from "./protocol.js";
import { retry } from "./request.js";
import type { EngineOptions, Estimate, Message, ModelInfo } from "./wire.js";

/** The context of a running call. */
interface Call {
  /** Sends an event to the caller. */
  emit(event: Event): void;
  /** Aborted when the caller stops the call. */
  signal: AbortSignal;
}

type Handlers = {
  [Name in keyof Calls]: (
    call: Call,
    ...rest: Parameters<Calls[Name]>
  ) => ReturnType<Calls[Name]> | Promise<ReturnType<Calls[Name]>>;
};

let model: WebModel | undefined;
let engine: WebEngine | undefined;

/** Damaged weights: the kept copy is deleted. */
class BadWeights extends BadModel {}

function openModel(): WebModel {
  if (!model) throw new BadRequest("no model is loaded");
  return model;
}

function loadedEngine(): WebEngine {
  if (!engine) throw new BadRequest("no model is loaded");
  return engine;
}

/**
 * Validates the options and opens the GPU. The GPU's vendor comes from the browser, because wgpu
 * does not report it. Throws `BadRequest` or `NoWebGPU`.
 */
async function openGpu(options: EngineOptions): Promise<WebGpu> {
  const adapter = await navigator.gpu
    ?.requestAdapter({ powerPreference: "high-performance" })
    .catch(() => null);
  const { vendor = "", architecture = "" } = adapter?.info ?? {};
  return WebGpu.open(options, vendor, architecture);
}

/** Opens a model, with retries after transient errors. The caller must free it. */
function open({ name, files }: Obtained, signal: AbortSignal): Promise<WebModel> {
  return retry(signal, async () => reading(files, () => WebModel.open(name, files)));
}

/** The tokens of messages whose last one holds the beginning of a reply. */
function continuedPrompt(messages: Message[]): Uint32Array {
  const last = messages.at(-1);
  if (last?.role !== "assistant") {
    throw new BadRequest("continue_final_message: the last message is not the assistant's");
  }
  const head = openModel().prompt(messages.slice(0, -1));
  const session = loadedEngine().tokens();
  const tail = Array.from(session.subarray(head.length));
  // The session may hold the reply's original tokens. Tokenizing its text may give other ones.
  const isPrefix = head.every((id, i) => id === session[i]);
  if (isPrefix && openModel().detokenize(tail) === last.content) return session;
  return Uint32Array.from([...head, ...openModel().tokenize(last.content, false)]);
}

const handlers: Handlers = {
  async estimate({ signal }, source, base, options): Promise<Estimate> {
    const obtained = await peek(source, base, signal);
    const model = await open(obtained, signal);
    try {
      const isLocal = obtained.files.every((file) => file instanceof BlobFile);
      return model.estimate(options, isLocal);
    } finally {
      model.free();
    }
  },

  async load({ emit, signal }, source, base, options): Promise<ModelInfo> {
    const report: Report = (phase, done, total) => emit({ kind: "progress", phase, done, total });
    const keep = options.keep ?? false;
    // Invalid options, or a missing GPU, end the call before any request to a server.
    let gpu: WebGpu | undefined = await openGpu(options);
    const check = async (obtained: Obtained | undefined, bytes: number) => {
      // The GPU is closed after the check, and opened again after the download.
      const opened = gpu ?? (await openGpu(options));
      gpu = undefined;
      try {
        if (obtained) {
          const head = await open(obtained, signal);
          try {
            opened.check(head);
          } finally {
            head.free();
          }
        } else if (bytes > 2 * (options.memory ?? Infinity)) {
          // Without the head only the files' size is known. F32 weights take half of it on the GPU.
          throw new OutOfMemory(
            `the model's files have ${bytes} bytes, but memory allows only ${options.memory}`,
          );
        }
      } finally {
        opened.destroy();
      }
    };
    const use = async (obtained: Obtained): Promise<ModelInfo> => {
      const found = await open(obtained, signal);
      signal.throwIfAborted();
      const opened = gpu ?? (await openGpu(options));
      gpu = undefined;
      try {
        opened.check(found);
      } catch (error) {
        opened.destroy();
        throw error;
      }
      const progress = (done: number, total: number) => {
        report("gpu", done, total);
        return !signal.aborted;
      };
      try {
        engine = await reading(obtained.files, () => opened.load(found, progress));
      } catch (error) {
        if (error instanceof Error && error.name === "BadModel")
          throw new BadWeights(error.message);
        throw error;
      }
      model = found;
      return found.info();
    };
    try {
      return await obtain(
        source,
        { base, keep, hash: () => new Sha256(), report, signal, check },
        use,
      );
    } catch (error) {
      gpu?.destroy();
      if (error instanceof BadWeights) await discard(source, base, keep).catch(() => undefined);
      throw error;
    }
  },

  info: () => loadedEngine().info(),
  tokenize: (_, text, special) => Array.from(openModel().tokenize(text, special)),
  detokenize: (_, ids) => openModel().detokenize(ids),
  tokens: () => Array.from(loadedEngine().tokens()),

  async reply({ emit, signal }, messages, options, continued) {
    const prompt = continued ? continuedPrompt(messages) : openModel().prompt(messages);
    return loadedEngine().reply(prompt, options, {
      isStopped: () => signal.aborted,
      onPrompt: (done, total) => emit({ kind: "progress", phase: "prompt", done, total }),
      onText: (index, text, ids) => emit({ kind: "text", index, text, ids: Array.from(ids) }),
      onEnd: (index, reason) => emit({ kind: "end", index, reason }),
    });
  },

  async save(_, note) {
    // Browsers can move the bytes of a Blob out of memory.
    const parts: Blob[] = [];
    const write = (bytes: Uint8Array<ArrayBuffer>) => {
      parts.push(new Blob([bytes]));
    };
    await loadedEngine().save(write, note ?? null);
    return new Blob(parts);
  },

  resume: (_, context) => loadedEngine().resume(new BlobFile("context", context)),
};

const send = (message: FromWorker) => postMessage(message);
const running = new Map<number, AbortController>();
/** Calls that have begun to run; the others still wait for their turn. */
const started = new Set<number>();
/** The error of all further calls, after wasm has trapped. */
let broken: WireError | undefined;

/** The message of wasm's last panic. */
const panic = () => (globalThis as { godwitPanic?: string }).godwitPanic;

/**
 * Converts anything thrown for the page. A trap is recorded: wasm's state is undefined after it.
 */
function failure(thrown: unknown): WireError {
  const error = toWire(thrown, panic());
  if (isTrap(thrown)) broken ??= error;
  return error;
}

/** Ends all calls after a trap inside of a promise, because that promise never settles. */
function breakDown(thrown: unknown): void {
  const error = failure(thrown);
  broken ??=
    error.name === "GodwitError"
      ? { name: "DeviceLost", message: `the engine failed: ${error.message}; load the model again` }
      : error;
  for (const id of running.keys()) send({ id, error: broken });
  running.clear();
}
addEventListener("error", (event) => {
  event.preventDefault();
  breakDown(event.error ?? event.message);
});
addEventListener("unhandledrejection", (event) => {
  if (!isTrap(event.reason)) return;
  event.preventDefault();
  breakDown(event.reason);
});

/** Loads the wasm module. Throws `CannotStart` or `OutOfMemory`. */
async function start(): Promise<void> {
  const url = new URL("./godwit_bg.wasm", import.meta.url);
  try {
    await init({ module_or_path: url });
  } catch (error) {
    const { message } = describe(error);
    if (error instanceof RangeError)
      throw new OutOfMemory(`the browser has too little memory for the engine: ${message}`);
    const forbidden = /content.security.policy|\bCSP\b|unsafe-eval/i.test(message);
    const why = forbidden
      ? "the Content-Security-Policy that worker.js is served with forbids WebAssembly; " +
        "add 'wasm-unsafe-eval' to its script-src"
      : `${message}; serve this version's godwit_bg.wasm beside worker.js, as application/wasm`;
    throw new CannotStart(`${url.href} can't be started: ${why}`);
  }
}
const ready = start();
/**
 * The end of the last call in the queue. Each call awaits `ready` itself, and so gets its error.
 */
let queue: Promise<unknown> = ready.catch(() => undefined);

/** Runs a call and sends its result or its error. */
async function run(
  id: number,
  name: keyof Calls,
  parameters: unknown[],
  controller: AbortController,
): Promise<void> {
  const call: Call = { emit: (event) => send({ id, event }), signal: controller.signal };
  let message: FromWorker;
  started.add(id);
  try {
    await ready;
    if (controller.signal.aborted) throw new Aborted("stopped");
    if (broken) throw broken;
    const handler = handlers[name] as (call: Call, ...parameters: unknown[]) => unknown;
    message = { id, value: await handler(call, ...parameters) };
  } catch (error) {
    message = { id, error: error === broken && broken ? broken : failure(error) };
  }
  started.delete(id);
  // A call that was aborted before its turn, or ended by `breakDown`, has sent its error already.
  if (running.delete(id)) send(message);
}

addEventListener("message", ({ data }: MessageEvent<ToWorker>) => {
  if ("abort" in data) {
    running.get(data.id)?.abort();
    // A call that has not begun ends at once.
    if (!started.has(data.id) && running.delete(data.id)) {
      send({ id: data.id, error: toWire(new Aborted("stopped")) });
    }
    return;
  }
  if (broken) {
    send({ id: data.id, error: broken });
    return;
  }
  const controller = new AbortController();
  running.set(data.id, controller);
  queue = queue.then(() => run(data.id, data.call, data.arguments, controller));
});
