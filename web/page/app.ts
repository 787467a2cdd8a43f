/** The chat page. */

import {
  Aborted,
  BadRequest,
  ContextFull,
  DeviceLost,
  Engine,
  GodwitError,
  type LoadProgress,
  type Message,
  NoWebGPU,
  type Source,
  keptSource,
} from "../js/index.js";
import { type Offer, message, say } from "./banner.js";
import * as chatList from "./chat-list.js";
import {
  type Chat,
  type Patch,
  type Turn,
  apply,
  children,
  everything,
  exported,
  imported,
  isEmpty,
  newChat,
  newTurn,
  newestLeaf,
  path,
  title,
} from "./chats.js";
import { byId, make, number } from "./dom.js";
import { about, progress } from "./loading.js";
import * as messages from "./messages.js";
import * as models from "./models.js";
import * as settingsDialog from "./settings.js";
import { lastModel, loadSettings, rememberModel } from "./state.js";
import * as storage from "./storage.js";
import { offerUndo } from "./toast.js";
import { offerUpdates } from "./updates.js";

/** A reply that comes to a chat. */
interface Reply {
  stop: AbortController;
  /** What it is written into, once the chat is locked. */
  turn?: Turn;
}

const input = byId<HTMLTextAreaElement>("input");
const settings = await loadSettings();
const chats = new Map<string, Chat>();
/** Replies of this tab, by the chat's id. The engine gives them one after the other. */
const replies = new Map<string, Reply>();
/** What the header says of each chat's last reply. */
const statuses = new Map<string, string>();
/** Chats to which a reply comes in another tab. */
const elsewhere = new Set<string>();
let chat: Chat = newChat();
let engine: Engine | undefined;
let model: { source: Source; name: string } | undefined;
let loading: AbortController | undefined;

// The model.

async function load(source: Source, name: string, keep = false): Promise<void> {
  loading?.abort();
  for (const { stop } of replies.values()) stop.abort();
  engine?.destroy();
  [engine, model] = [undefined, { source, name }];
  const stop = new AbortController();
  loading = stop;
  byId("loading-stop").onclick = () => stop.abort();
  byId("model-name").textContent = name;
  byId("loading-text").textContent = "";
  byId("loading").hidden = false;
  say("");
  refresh();
  try {
    const { context, kv } = settings;
    const onProgress = (now: LoadProgress) => stop === loading && progress(now);
    const loaded = await Engine.load(source, {
      context,
      kv,
      keep,
      onProgress,
      signal: stop.signal,
    });
    if (stop !== loading) return loaded.destroy();
    engine = loaded;
    byId("model-name").textContent = engine.model.name || name;
    await remember(source, keep);
    await about(engine);
  } catch (error) {
    if (stop !== loading) return;
    if (!(error instanceof Aborted))
      say(message(error), error instanceof NoWebGPU ? undefined : again());
    byId("model-name").textContent = "Choose a model";
  } finally {
    if (stop === loading) {
      loading = undefined;
      byId("loading").hidden = true;
      refresh();
    }
  }
}

/** Has the model loaded at the next visit, if it is kept. */
async function remember(source: Source, keep: boolean): Promise<void> {
  if (typeof source === "object" && "url" in source)
    source = new URL(source.url, document.baseURI).href;
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

const again = (): Offer | undefined =>
  model && ["Load the model again", () => model && void load(model.source, model.name)];

// What the person sees.

/** Says that there is no model to reply. */
function sayNoModel(): void {
  if (loading) return say("The model is still being loaded. Nothing was changed.");
  const choose: Offer = ["Choose a model", () => byId("show-models").click()];
  say("No model is loaded. Nothing was changed.", again() ?? choose);
}

function refresh(): void {
  const reply = replies.get(chat.id);
  const others = elsewhere.has(chat.id);
  const turns = path(chat);
  const siblings = (turn: Turn) =>
    children(chat, turn.parent).filter(({ role }) => role === turn.role);
  const busy = reply !== undefined || others;
  messages.show(
    { turns, siblings, coming: reply?.turn, busy },
    { edit, regenerate, proceed, answer, show },
  );
  byId("send").hidden = reply !== undefined;
  byId("stop").hidden = reply === undefined;
  byId<HTMLButtonElement>("send").disabled = engine === undefined || others;
  byId<HTMLButtonElement>("reload").disabled = model === undefined;
  byId("stats").textContent = statuses.get(chat.id) ?? "";
  byId("notice").textContent = others ? "Another tab is replying in this chat." : "";
  chatList.show(sorted(), chat, stateOf, { open: (one) => (select(one), drawer(false)), remove });
}

/** What the list says of a chat besides its title. */
const stateOf = ({ id }: Chat) =>
  replies.has(id) ? "A reply is coming" : elsewhere.has(id) ? "Another tab is replying" : "";

/** The chats in which there is anything, the newest first. */
const sorted = () =>
  [...chats.values()].filter((one) => !isEmpty(one)).sort((a, b) => b.updated - a.updated);

// The conversation.

/** Changes a chat, here and where it is stored. */
function change(own: Chat, patch: Patch): Promise<void> {
  apply(own, patch);
  if (own.deleted === undefined) chats.set(own.id, own);
  return storage.save(own.id, patch);
}

/** Shows the branch that a turn is on. */
function show(turn: Turn): void {
  if (!path(chat).includes(turn)) void change(chat, { leaf: newestLeaf(chat, turn.id) });
  refresh();
}

const edit = ({ parent }: Turn, content: string): Promise<boolean> =>
  begin(chat, (own) => asked(own, content, parent));

function regenerate({ parent }: Turn): void {
  void begin(chat, () => newTurn("assistant", "", parent));
}

function answer({ id }: Turn): void {
  void begin(chat, () => newTurn("assistant", "", id));
}

function proceed(turn: Turn): void {
  // Another tab may have written a newer version of the turn.
  void begin(chat, (own) => own.turns[turn.id] ?? turn);
}

/** Adds a question, which is stored at once. Returns the turn for its reply. */
function asked(own: Chat, content: string, parent: string | undefined): Turn {
  const question = newTurn("user", content, parent);
  void change(own, { turns: [question], leaf: question.id, updated: Date.now() });
  return newTurn("assistant", "", question.id);
}

/**
 * Begins a reply into the turn that `prepare` makes. Changes nothing and says why where that can't
 * be.
 */
async function begin(own: Chat, prepare: (own: Chat) => Turn): Promise<boolean> {
  if (!engine) {
    sayNoModel();
    return false;
  }
  if (replies.has(own.id)) return false;
  const reply: Reply = { stop: new AbortController() };
  statuses.set(own.id, replies.size > 0 ? "waits for the reply in another chat" : "");
  replies.set(own.id, reply);
  refresh();
  const release = await storage.hold(own.id);
  if (!release) {
    replies.delete(own.id);
    say("Another tab is replying in this chat. Nothing was changed.");
    refresh();
    return false;
  }
  // Another tab may have ended a reply a moment ago, of which this one has not heard yet.
  const stored = await storage.read(own.id).catch(() => undefined);
  if (stored && stored.deleted === undefined) own.leaf = takeOver(own, stored) ?? own.leaf;
  // The model may have been replaced meanwhile.
  if (!engine) {
    release();
    replies.delete(own.id);
    sayNoModel();
    refresh();
    return false;
  }
  reply.turn = prepare(own);
  void write(own, reply.turn).finally(release);
  return true;
}

/** Writes a reply into a turn: a new one, or one that is continued. */
async function write(own: Chat, turn: Turn): Promise<void> {
  const asked = engine;
  const before = { leaf: own.leaf, content: turn.content, cut: turn.cut };
  apply(own, { turns: [turn], leaf: turn.id });
  say("");
  refresh();
  turn.cut = "interrupted";
  try {
    if (asked) turn.cut = await stream(asked, own, turn);
    if (turn.content === before.content && turn.cut === "context") sayFull("The context is full.");
    else if (turn.content === "") say("The model's reply is empty.");
  } catch (error) {
    const stopped = error instanceof Aborted || asked !== engine;
    if (turn.content === before.content) turn.cut = before.cut;
    else if (stopped) turn.cut = "stopped";
    if (!stopped) failed(error);
    status(own, stopped ? "stopped" : "");
  } finally {
    if (turn.content === "") {
      delete own.turns[turn.id];
      own.leaf = before.leaf;
    } else {
      turn.changed = Date.now();
      await change(own, { turns: [turn], updated: turn.changed });
    }
    replies.delete(own.id);
    refresh();
    if (
      own === chat &&
      [null, document.body].includes(document.activeElement as HTMLElement | null)
    )
      input.focus();
  }
}

/** Streams a reply into a turn. Returns why it was cut, if it was. */
async function stream(engine: Engine, own: Chat, turn: Turn): Promise<Turn["cut"]> {
  const { temperature, top_p, repetition_penalty, max_tokens, seed } = settings;
  const system: Message[] = settings.system.trim()
    ? [{ role: "system", content: settings.system }]
    : [];
  const turns = path(own, turn.content === "" ? turn.parent : turn.id);
  const chunks = await engine.chat.completions.create({
    messages: [...system, ...turns.map(({ role, content }) => ({ role, content }))],
    continue_final_message: turn.content !== "",
    stream: true,
    temperature,
    top_p,
    repetition_penalty,
    max_tokens,
    seed,
    signal: replies.get(own.id)?.stop.signal,
    onPrompt: (done, total) => status(own, `reading ${number(done)} of ${number(total)} tokens`),
  });
  let cut: Turn["cut"];
  let [tokens, begin] = [0, 0];
  for await (const { choices, usage } of chunks) {
    const [{ delta, token_ids, finish_reason }] = choices;
    if (delta.content) {
      turn.content += delta.content;
      turn.changed = Date.now();
      storage.saveSoon(own.id, { turns: [turn], leaf: turn.id });
      if (own === chat) messages.update(turn);
    }
    if (token_ids.length > 0) {
      begin ||= performance.now();
      tokens += token_ids.length;
      const seconds = (performance.now() - begin) / 1000;
      if (seconds > 0.5) status(own, `${((tokens - 1) / seconds).toFixed(1)} tokens/s`);
    }
    if (!usage) continue;
    if (finish_reason === "length")
      cut = usage.completion_tokens === max_tokens ? "limit" : "context";
    const rate = `${usage.completion_tokens_per_second.toFixed(1)} tokens/s`;
    const context = (await engine.info()).context;
    status(own, `${rate} · ${number(usage.total_tokens)} of ${number(context)} tokens`);
  }
  return cut;
}

function status(own: Chat, text: string): void {
  statuses.set(own.id, text);
  if (own === chat) byId("stats").textContent = text;
}

function failed(error: unknown): void {
  if (error instanceof ContextFull) return sayFull(message(error));
  if (error instanceof BadRequest) return say(message(error));
  // Nothing else leaves the engine in a state to trust: it is loaded again, and the chat stays.
  engine?.destroy();
  engine = undefined;
  const lost = error instanceof DeviceLost || !(error instanceof GodwitError);
  say(`${message(error)}${lost ? " The chat is kept." : ""}`, again());
}

/** Says that there is no room for more, and what helps. */
function sayFull(text: string): void {
  const offer = larger();
  say(offer ? text : `${text} Begin a new chat.`, offer);
}

/** Loads the model with twice the context, if it was made for more than there is. */
function larger(): Offer | undefined {
  const tokens = Math.min(2 * settings.context, engine?.model.window ?? 0);
  if (tokens <= settings.context || !model) return undefined;
  const { source, name } = model;
  return [
    `Load it with ${number(tokens)} tokens`,
    () => {
      settingsDialog.set("context", tokens);
      void load(source, name);
    },
  ];
}

// Chats.

/** The draft that this tab has of a chat, for two tabs may write in one chat. */
const draftKey = (own: Chat) => `godwit.draft.${own.id}`;

function select(one: Chat): void {
  chat = one;
  sessionStorage.setItem("godwit.chat", one.id);
  input.value = sessionStorage.getItem(draftKey(one)) ?? one.draft;
  refresh();
}

function remove(one: Chat): void {
  gone(one, `Deleted “${title(one)}”.`);
  void storage.save(one.id, { deleted: Date.now() });
  byId("toasts").querySelector<HTMLElement>(":scope > :last-child button")?.focus();
}

/** Takes a deleted chat off the page, and offers it back. */
function gone(one: Chat, text: string): void {
  replies.get(one.id)?.stop.abort();
  one.deleted = Date.now();
  chats.delete(one.id);
  if (one === chat) select(sorted()[0] ?? newChat());
  else refresh();
  const undo = () => {
    void change(one, { ...everything(one), deleted: null });
    select(one);
  };
  offerUndo(text, undo, () => void storage.purge(one.id));
}

/** Takes over what another tab did to a chat. */
async function receive(id: string): Promise<void> {
  for (const held of await storage.chatsOfOtherTabs()) {
    if (elsewhere.has(held)) continue;
    elsewhere.add(held);
    const ended = () => {
      elsewhere.delete(held);
      void receive(held);
    };
    void storage.released(held).then(ended);
  }
  const stored = await storage.read(id);
  const known = chats.get(id) ?? (chat.id === id ? chat : undefined);
  if (!stored || stored.deleted !== undefined) {
    if (known && chats.has(id)) gone(known, `“${title(known)}” was deleted in another tab.`);
    return refresh();
  }
  // The branch that is shown stays while a reply of this tab comes, the draft while the chat is
  // open.
  const own = known ?? newChat(id);
  const leaf = takeOver(own, stored);
  if (!replies.has(id)) own.leaf = leaf;
  if (own !== chat) own.draft = stored.draft;
  chats.set(id, own);
  refresh();
}

/** Takes the turns of a stored chat that are newer. Returns the end of its branch. */
function takeOver(own: Chat, stored: Chat): string | undefined {
  const { leaf, turns = [], updated } = everything(stored);
  const isNewer = ({ id, changed }: Turn) => changed > (own.turns[id]?.changed ?? -1);
  apply(own, { turns: turns.filter(isNewer), updated });
  return leaf;
}

function drawer(open: boolean): void {
  byId("chats").classList.toggle("open", open);
  byId("show-chats").setAttribute("aria-expanded", String(open));
}

// Events.

byId("composer").onsubmit = async (event) => {
  event.preventDefault();
  const own = chat;
  const text = input.value.trim();
  if (!text || replies.has(own.id)) return;
  if (!(await begin(own, () => asked(own, text, path(own).at(-1)?.id)))) return;
  if (own === chat && input.value.trim() === text) input.value = "";
  keepDraft(own, own === chat ? input.value : "");
};
input.onkeydown = (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  byId<HTMLFormElement>("composer").requestSubmit();
};
input.oninput = () => keepDraft(chat, input.value);

function keepDraft(own: Chat, draft: string): void {
  sessionStorage.setItem(draftKey(own), draft);
  apply(own, { draft });
  if (!chats.has(own.id) && isEmpty(own)) return;
  chats.set(own.id, own);
  storage.saveSoon(own.id, { draft });
  // A chat without questions is known by its draft.
  if (path(own).length === 0) refresh();
}

byId("stop").onclick = () => replies.get(chat.id)?.stop.abort();
addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || document.querySelector("dialog[open]")) return;
  replies.get(chat.id)?.stop.abort();
  drawer(false);
});
byId("show-chats").onclick = () => drawer(!byId("chats").classList.contains("open"));
byId("new-chat").onclick = () => (select(newChat()), drawer(false), input.focus());
byId("export").onclick = () => {
  const url = URL.createObjectURL(exported(sorted()));
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
    const added = imported(await file.text());
    await Promise.all(added.map((one) => change(one, everything(one))));
    select(added[0] ?? chat);
  } catch (error) {
    say(`The chats could not be imported: ${message(error)}`);
  }
};
byId("reload").onclick = () => {
  byId<HTMLDialogElement>("settings").close();
  if (model) void load(model.source, model.name);
};

// The beginning.

models.setUp(
  () => settings,
  (source, name, keep) => void load(source, name, keep),
);
settingsDialog.setUp(settings);
storage.listen(
  (id) => void receive(id),
  (error) => say(`The chat can't be stored: ${message(error)} Export it.`),
);
for (const one of await storage.readAll()) chats.set(one.id, one);
select(chats.get(sessionStorage.getItem("godwit.chat") ?? "") ?? sorted()[0] ?? newChat());
void receive(chat.id);
void offerUpdates().catch(() => undefined);
const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
if (!adapter) {
  say(
    "This browser offers no WebGPU, which the model needs. A current Chrome, Edge, Safari or Firefox does; on Linux it may have to be switched on.",
  );
} else {
  const last = await lastModel();
  const kept = (await Engine.cached()).find((model) => model.source === last && model.complete);
  if (kept) await load(kept.source, kept.name);
}
