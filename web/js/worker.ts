/** The worker: holds the wasm, the model and the conversation, and answers calls one after the other. */

import init, { Sha256, WebEngine, WebModel } from "godwit-wasm";
import { Aborted, BadRequest, toWire } from "./errors.js";
import { BlobFile } from "./files.js";
import { type Obtained, type Report, discard, obtain, peek } from "./obtain.js";
import type {
  Calls, EngineOptions, Estimate, Event, FromWorker, Message, ModelInfo, ToWorker,
} from "./protocol.js";

/** The context where nobody says. */
const USUAL_CONTEXT = 8192;

/** A call's way to tell of itself, and to hear that it should end. */
interface Call {
  tell(event: Event): void;
  signal: AbortSignal;
}

type Handlers = { [Name in keyof Calls]: (call: Call, ...rest: Parameters<Calls[Name]>) => unknown };

let model: WebModel | undefined;
let engine: WebEngine | undefined;

function opened(): WebModel {
  if (!model) throw new BadRequest("no model is loaded");
  return model;
}

function loaded(): WebEngine {
  if (!engine) throw new BadRequest("no model is loaded");
  return engine;
}

/** Whose GPU it is, as far as the browser says: wgpu doesn't ask it. */
async function gpuKind(): Promise<{ vendor: string; architecture: string }> {
  const adapter = await navigator.gpu?.requestAdapter({ powerPreference: "high-performance" });
  const { vendor = "", architecture = "" } = adapter?.info ?? {};
  return { vendor, architecture };
}

const contextOf = (info: ModelInfo, options: EngineOptions) => Math.min(options.context ?? USUAL_CONTEXT, info.window);

function open({ name, files }: Obtained): [WebModel, ModelInfo] {
  const model = WebModel.open(name, files);
  return [model, model.info() as ModelInfo];
}

/** The tokens of messages whose last one is the beginning of a reply. */
function begun(messages: Message[]): Uint32Array {
  const last = messages.at(-1);
  if (last?.role !== "assistant") {
    throw new BadRequest("continue_final_message: the last message is not the assistant's");
  }
  const head = opened().prompt(messages.slice(0, -1));
  const held = loaded().tokens();
  const tail = held.subarray(head.length);
  // The tokens that the reply was made of, where they are known: a text may be cut into others.
  if (head.every((id, i) => id === held[i]) && opened().detokenize(tail) === last.content) return held;
  return Uint32Array.from([...head, ...opened().tokenize(last.content, false)]);
}

const handlers: Handlers = {
  async estimate({ signal }, source, base, options): Promise<Estimate> {
    const obtained = await peek(source, base, signal);
    const [model, info] = open(obtained);
    const context = contextOf(info, options);
    const memory = model.memory(context, options.kv ?? "f16");
    model.free();
    return { model: info, context, memory, cached: obtained.files.every((file) => file instanceof BlobFile) };
  },

  async load({ tell, signal }, source, base, { keep = false, ...options }) {
    const report: Report = (phase, done, total) => tell({ kind: "progress", phase, done, total });
    try {
      const [found, info] = open(await obtain(source, base, keep, () => new Sha256(), report, signal));
      signal.throwIfAborted();
      const all = { ...options, ...(await gpuKind()), context: contextOf(info, options) };
      engine = await WebEngine.load(found, all, (done: number, total: number) => {
        report("gpu", done, total);
        return !signal.aborted;
      });
      model = found;
      return info;
    } catch (error) {
      if (error instanceof Error && error.name === "BadModel") await discard(source, base, keep);
      throw error;
    }
  },

  info: () => loaded().info(),
  tokenize: (_, text, special) => Array.from(opened().tokenize(text, special)),
  detokenize: (_, ids) => opened().detokenize(Uint32Array.from(ids)),
  tokens: () => Array.from(loaded().tokens()),

  async reply({ tell, signal }, prompt, options, continued) {
    const messages = prompt.length > 0 && typeof prompt[0] === "object";
    const ids = !messages
      ? Uint32Array.from(prompt as number[])
      : continued ? begun(prompt as Message[]) : opened().prompt(prompt);
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
const begunCalls = new Set<number>();
let before: Promise<unknown> = init({ module_or_path: new URL("./godwit_bg.wasm", import.meta.url) });

async function answer(id: number, name: keyof Calls, rest: unknown[], controller: AbortController): Promise<void> {
  const call: Call = { tell: (event) => send({ id, event }), signal: controller.signal };
  begunCalls.add(id);
  try {
    if (controller.signal.aborted) throw new Aborted("stopped");
    const handler = handlers[name] as (call: Call, ...rest: unknown[]) => unknown;
    send({ id, value: await handler(call, ...rest) });
  } catch (error) {
    send({ id, error: toWire(error) });
  } finally {
    running.delete(id);
    begunCalls.delete(id);
  }
}

addEventListener("message", ({ data }: MessageEvent<ToWorker>) => {
  if ("abort" in data) {
    running.get(data.id)?.abort();
    // One that still waits for others is over at once; its turn comes to nothing.
    if (running.has(data.id) && !begunCalls.has(data.id)) send({ id: data.id, error: toWire(new Aborted("stopped")) });
    return;
  }
  const controller = new AbortController();
  running.set(data.id, controller);
  const run = () => answer(data.id, data.call, data.arguments, controller);
  before = before.then(run, (error) => send({ id: data.id, error: toWire(error) }));
});
