/** The worker: holds the wasm, the model and the conversation, and answers calls one after the other. */

import init, { Sha256, WebEngine, WebGpu, WebModel } from "godwit-wasm";
import {
  Aborted,
  BadModel,
  BadRequest,
  CannotStart,
  OutOfMemory,
  type WireError,
  isTrap,
  toWire,
  words,
} from "./errors.js";
import { BlobFile, reading } from "./files.js";
import { type Obtained, type Report, discard, obtain, peek } from "./obtain.js";
import type { Calls, Event, FromWorker, ToWorker } from "./protocol.js";
import { retried } from "./request.js";
import type { EngineOptions, Estimate, Message, ModelInfo } from "./wire.js";

/** A call's way to tell of itself, and to hear that it should end. */
interface Call {
  tell(event: Event): void;
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

/** Weights that are damaged: what is kept of them is of no use. */
class BadWeights extends BadModel {}

function opened(): WebModel {
  if (!model) throw new BadRequest("no model is loaded");
  return model;
}

function loaded(): WebEngine {
  if (!engine) throw new BadRequest("no model is loaded");
  return engine;
}

/**
 * Checks the options and opens the GPU. Asks the browser for the GPU's vendor, which wgpu does not.
 * Throws BadRequest or NoWebGPU.
 */
async function openGpu(options: EngineOptions): Promise<WebGpu> {
  const adapter = await navigator.gpu
    ?.requestAdapter({ powerPreference: "high-performance" })
    .catch(() => null);
  const { vendor = "", architecture = "" } = adapter?.info ?? {};
  return WebGpu.open(options, vendor, architecture);
}

/** Opens a model, and tries again while a server may be better soon. Whoever calls frees it. */
function open({ name, files }: Obtained, signal: AbortSignal): Promise<WebModel> {
  return retried(signal, async () => reading(files, () => WebModel.open(name, files)));
}

/** The tokens of messages whose last one is the beginning of a reply. */
function begun(messages: Message[]): Uint32Array {
  const last = messages.at(-1);
  if (last?.role !== "assistant") {
    throw new BadRequest("continue_final_message: the last message is not the assistant's");
  }
  const head = opened().prompt(messages.slice(0, -1));
  const held = loaded().tokens();
  const tail = Array.from(held.subarray(head.length));
  // The tokens that the reply was made of, where they are known: a text may be cut into others.
  const same = head.every((id, i) => id === held[i]) && opened().detokenize(tail) === last.content;
  return same ? held : Uint32Array.from([...head, ...opened().tokenize(last.content, false)]);
}

const handlers: Handlers = {
  async estimate({ signal }, source, base, options): Promise<Estimate> {
    const obtained = await peek(source, base, signal);
    const model = await open(obtained, signal);
    try {
      return model.estimate(options, obtained.files.every((file) => file instanceof BlobFile));
    } finally {
      model.free();
    }
  },

  async load({ tell, signal }, source, base, options): Promise<ModelInfo> {
    const report: Report = (phase, done, total) => tell({ kind: "progress", phase, done, total });
    const keep = options.keep ?? false;
    // Options that make no sense, or no GPU: nothing is asked of a server.
    let gpu: WebGpu | undefined = await openGpu(options);
    const check = async (obtained: Obtained | undefined, bytes: number) => {
      // Not held for as long as a download takes.
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
          // Without its head: weights of 32 bits take half as much on the GPU.
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

  info: () => loaded().info(),
  tokenize: (_, text, special) => Array.from(opened().tokenize(text, special)),
  detokenize: (_, ids) => opened().detokenize(ids),
  tokens: () => Array.from(loaded().tokens()),

  async reply({ tell, signal }, messages, options, continued) {
    const ids = continued ? begun(messages) : opened().prompt(messages);
    return loaded().reply(
      ids,
      options,
      (done: number, total: number) => (tell({ kind: "progress", phase: "prompt", done, total }), !signal.aborted),
      (text: string, ids: Uint32Array) => (tell({ kind: "text", text, ids: Array.from(ids) }), !signal.aborted),
    );
  },

  async save(_, note) {
    // Each piece becomes a Blob, which browsers may move out of memory.
    const pieces: Blob[] = [];
    await loaded().save((bytes: Uint8Array<ArrayBuffer>) => void pieces.push(new Blob([bytes])), note ?? null);
    return new Blob(pieces);
  },

  resume: (_, context) => loaded().resume(new BlobFile("context", context)),
};

const send = (message: FromWorker) => postMessage(message);
const running = new Map<number, AbortController>();
/** Calls whose turn has come. */
const started = new Set<number>();
/** Why nothing can be called any more. */
let broken: WireError | undefined;

/** What wasm said before its last trap. */
const panic = () => (globalThis as { godwitPanic?: string }).godwitPanic;

/** Anything thrown, for the page. A trap is remembered: wasm's state makes no sense after it. */
function failure(thrown: unknown): WireError {
  const error = toWire(thrown, panic());
  if (isTrap(thrown)) broken ??= error;
  return error;
}

/** What a trap in the middle of a promise leaves: it never settles. All calls end. */
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

/** Loads the wasm. Throws CannotStart, or OutOfMemory. */
async function start(): Promise<void> {
  const url = new URL("./godwit_bg.wasm", import.meta.url);
  try {
    await init({ module_or_path: url });
  } catch (error) {
    const { message } = words(error);
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
// A failure is told to each call.
let before: Promise<unknown> = ready.catch(() => undefined);

async function answer(id: number, name: keyof Calls, rest: unknown[], controller: AbortController): Promise<void> {
  const call: Call = { tell: (event) => send({ id, event }), signal: controller.signal };
  let message: FromWorker;
  started.add(id);
  try {
    await ready;
    if (controller.signal.aborted) throw new Aborted("stopped");
    if (broken) throw broken;
    const handler = handlers[name] as (call: Call, ...rest: unknown[]) => unknown;
    message = { id, value: await handler(call, ...rest) };
  } catch (error) {
    message = { id, error: error === broken && broken ? broken : failure(error) };
  }
  started.delete(id);
  // It may have its answer: where all broke down, or it was aborted before its turn.
  if (running.delete(id)) send(message);
}

addEventListener("message", ({ data }: MessageEvent<ToWorker>) => {
  if ("abort" in data) {
    running.get(data.id)?.abort();
    // One that still waits for others is over at once; its turn comes to nothing.
    if (!started.has(data.id) && running.delete(data.id)) {
      send({ id: data.id, error: toWire(new Aborted("stopped")) });
    }
    return;
  }
  if (broken) return send({ id: data.id, error: broken });
  const controller = new AbortController();
  running.set(data.id, controller);
  before = before.then(() => answer(data.id, data.call, data.arguments, controller));
});
