/** The chat page. */

import {
  Aborted, BadRequest, ContextFull, DeviceLost, Engine, GodwitError, type LoadProgress, type Message, NoWebGPU, type Source,
  keptSource,
} from "../js/index.js";
import { button, byId, bytes, make, number } from "./dom.js";
import * as messages from "./messages.js";
import * as models from "./models.js";
import * as settingsDialog from "./settings.js";
import {
  type Chat, exported, imported, lastModel, loadChats, loadSettings, newChat, rememberModel, saveChats, title,
} from "./state.js";

const input = byId<HTMLTextAreaElement>("input");
const settings = await loadSettings();
const chats = await loadChats();
let chat: Chat = chats[0] ?? newChat();
let engine: Engine | undefined;
let model: { source: Source; name: string } | undefined;
/** Ends the reply that is under way. */
let replying: AbortController | undefined;

// The model.

async function load(source: Source, name: string, keep = false): Promise<void> {
  replying?.abort();
  engine?.destroy();
  [engine, model] = [undefined, { source, name }];
  const stop = new AbortController();
  byId("loading-stop").onclick = () => stop.abort();
  byId("model-name").textContent = name;
  byId("loading").hidden = false;
  say("");
  refresh();
  try {
    const { context, kv } = settings;
    engine = await Engine.load(source, { context, kv, keep, onProgress: progress, signal: stop.signal });
    byId("model-name").textContent = engine.model.name || name;
    await remember(source, keep);
    await about(engine);
  } catch (error) {
    if (!(error instanceof Aborted)) say(message(error), error instanceof NoWebGPU ? undefined : again);
    if (model?.source === source) byId("model-name").textContent = "Choose a model";
  } finally {
    byId("loading").hidden = true;
    refresh();
  }
}

/** Has the model loaded at the next visit, if it is kept. */
async function remember(source: Source, keep: boolean): Promise<void> {
  if (typeof source === "object" && "url" in source) source = new URL(source.url, document.baseURI).href;
  if (typeof source !== "string") {
    if (!keep) return;
    const kept = keptSource([source].flat());
    if (!(await Engine.cached()).some((model) => model.source === kept)) {
      return say("There was no room to keep a copy: at the next visit pick the files again.");
    }
    source = kept;
  }
  await rememberModel(source);
  // Without it a browser may delete models when the disk fills.
  void navigator.storage?.persist?.();
}

const again = (): [string, () => void] | undefined =>
  model && ["Load the model again", () => model && void load(model.source, model.name)];

function progress({ phase, done, total, seconds }: LoadProgress): void {
  if (phase === "wait") {
    byId<HTMLProgressElement>("loading-bar").value = 0;
    byId("loading-text").textContent = `Another tab is loading this model: waiting for it, ${seconds.toFixed(0)} s`;
    return;
  }
  const what = { download: "Downloading", copy: "Keeping a copy:", verify: "Checking", gpu: "To the GPU:" }[phase];
  byId<HTMLProgressElement>("loading-bar").value = total > 0 ? done / total : 0;
  byId("loading-text").textContent = `${what} ${bytes(done)} of ${bytes(total)}, ${seconds.toFixed(0)} s`;
}

async function about(engine: Engine): Promise<void> {
  const info = await engine.info();
  const memory = `${bytes(info.memory.total)} of GPU memory now (weights ${bytes(info.memory.weights)})`;
  byId("about").textContent = `${engine.model.name} on ${info.adapter}: ${memory}, context of ${number(info.context)} tokens, ${info.kv} KV cache.`;
}

// What is said to the person.

function message(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.charAt(0).toUpperCase() + text.slice(1).replace(/([^.!?])$/, "$1.");
}

function say(text: string, action?: () => [string, () => void] | undefined): void {
  const banner = byId("banner");
  const offered = action?.();
  banner.hidden = text === "";
  banner.replaceChildren(make("p", {}, text));
  if (offered) banner.append(button(...offered, { className: "primary" }));
  if (text) banner.append(button("Dismiss", () => say("")));
}

function refresh(): void {
  messages.show(chat.messages, { edit, regenerate }, replying !== undefined);
  byId("send").hidden = replying !== undefined;
  byId("stop").hidden = replying === undefined;
  byId<HTMLButtonElement>("send").disabled = engine === undefined;
  byId<HTMLButtonElement>("reload").disabled = model === undefined;
  byId("chat-list").replaceChildren(
    ...chats.map((one) => {
      const open = button(title(one), () => (select(one), drawer(false)), { className: "open" });
      open.setAttribute("aria-current", String(one === chat));
      return make("li", {}, open, button("✕", () => remove(one), { className: "icon", ariaLabel: `Delete the chat ${title(one)}` }));
    }),
  );
}

// The conversation.

function edit(index: number, content: string): void {
  chat.messages.splice(index);
  void ask(content);
}

function regenerate(index: number): void {
  chat.messages.splice(index);
  void reply();
}

async function ask(content: string): Promise<void> {
  chat.messages.push({ role: "user", content });
  if (!chats.includes(chat)) chats.unshift(chat);
  await reply();
}

async function reply(): Promise<void> {
  if (!engine || replying) return;
  const own = chat;
  const system: Message[] = settings.system.trim() ? [{ role: "system", content: settings.system }] : [];
  const prompt = [...system, ...own.messages];
  const answer: Message = { role: "assistant", content: "" };
  own.messages.push(answer);
  replying = new AbortController();
  say("");
  refresh();
  const { temperature, top_p, repetition_penalty, max_tokens, seed } = settings;
  let [tokens, begin] = [0, 0];
  try {
    const chunks = await engine.chat.completions.create({
      messages: prompt, stream: true, temperature, top_p, repetition_penalty, max_tokens, seed, signal: replying.signal,
      onPrompt: (done, total) => stats(`reading ${number(done)} of ${number(total)} tokens`),
    });
    for await (const { choices, usage } of chunks) {
      const [{ delta, token_ids }] = choices;
      answer.content += delta.content ?? "";
      if (own === chat) messages.update(answer);
      if (token_ids.length > 0) {
        begin ||= performance.now();
        tokens += token_ids.length;
        const seconds = (performance.now() - begin) / 1000;
        if (seconds > 0.5) stats(`${((tokens - 1) / seconds).toFixed(1)} tokens/s`);
      }
      if (usage) {
        const rate = `${usage.completion_tokens_per_second.toFixed(1)} tokens/s`;
        stats(`${rate} · ${number(usage.total_tokens)} of ${number((await engine.info()).context)} tokens`);
      }
    }
  } catch (error) {
    failed(error);
  } finally {
    replying = undefined;
    if (!answer.content) own.messages.splice(own.messages.indexOf(answer), 1);
    own.updated = Date.now();
    await saveChats(chats);
    refresh();
    input.focus();
  }
}

function failed(error: unknown): void {
  if (error instanceof Aborted) return stats("stopped");
  if (error instanceof ContextFull) return say(`${message(error)} Begin a new chat, or load the model with a larger context.`);
  if (error instanceof BadRequest) return say(message(error));
  // Nothing else leaves the engine in a state to trust: it is loaded again, and the chat stays.
  engine?.destroy();
  engine = undefined;
  const lost = error instanceof DeviceLost || !(error instanceof GodwitError);
  say(`${message(error)}${lost ? " The chat is kept." : ""}`, again);
}

const stats = (text: string) => void (byId("stats").textContent = text);

// Chats.

function select(one: Chat): void {
  replying?.abort();
  chat = one;
  stats("");
  refresh();
}

function remove(one: Chat): void {
  chats.splice(chats.indexOf(one), 1);
  if (one === chat) select(chats[0] ?? newChat());
  else refresh();
  void saveChats(chats);
}

function drawer(open: boolean): void {
  byId("chats").classList.toggle("open", open);
  byId("show-chats").setAttribute("aria-expanded", String(open));
}

// Events.

byId("composer").onsubmit = (event) => {
  event.preventDefault();
  const text = input.value.trim();
  if (!text || !engine || replying) return;
  input.value = "";
  void ask(text);
};
input.onkeydown = (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  byId<HTMLFormElement>("composer").requestSubmit();
};
byId("stop").onclick = () => replying?.abort();
addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || document.querySelector("dialog[open]")) return;
  replying?.abort();
  drawer(false);
});
byId("show-chats").onclick = () => drawer(!byId("chats").classList.contains("open"));
byId("new-chat").onclick = () => (select(newChat()), drawer(false), input.focus());
byId("export").onclick = () => {
  const url = URL.createObjectURL(exported(chats));
  make("a", { href: url, download: "godwit-chats.json" }).click();
  URL.revokeObjectURL(url);
};
const importFile = byId<HTMLInputElement>("import-file");
byId("import").onclick = () => importFile.click();
importFile.onchange = async () => {
  const file = importFile.files?.[0];
  importFile.value = "";
  if (!file) return;
  try {
    chats.unshift(...imported(await file.text()));
    await saveChats(chats);
    select(chats[0] ?? newChat());
  } catch (error) {
    say(`The chats could not be imported: ${message(error)}`);
  }
};
byId("reload").onclick = () => {
  byId<HTMLDialogElement>("settings").close();
  if (model) void load(model.source, model.name);
};

// The beginning.

models.setUp(() => settings, (source, name, keep) => void load(source, name, keep));
settingsDialog.setUp(settings);
refresh();
if ("serviceWorker" in navigator) void navigator.serviceWorker.register("sw.js").catch(() => undefined);
const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
if (!adapter) {
  say("This browser offers no WebGPU, which the model needs. A current Chrome, Edge, Safari or Firefox does; on Linux it may have to be switched on.");
} else {
  const last = await lastModel();
  const kept = (await Engine.cached()).find((model) => model.source === last && model.complete);
  if (kept) await load(kept.source, kept.name);
}
