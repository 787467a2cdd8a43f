/** Replies: the branches that receive them, and the stream of their text. */

import {
  Aborted,
  BadRequest,
  ContextFull,
  DeviceLost,
  type Engine,
  GodwitError,
  type Message,
} from "../js/index.js";
import { change, type Reply, refresh, setStatus, state } from "./app-state.js";
import { errorText, showBanner } from "./banner.js";
import { apply, type Chat, newTurn, path, type Turn, takeNewerTurns } from "./chats.js";
import { byId, number } from "./dom.js";
import * as messages from "./messages.js";
import { largerContextAction, reloadAction, sayNoModel } from "./model-loader.js";
import * as storage from "./storage.js";

/** Asks another question in the place of one. Returns whether the reply has begun. */
export const edit = ({ parent }: Turn, content: string): Promise<boolean> =>
  begin(state.current, (chat) => addQuestion(chat, content, parent));

/** Replies once more to the same question, in another version of the turn. */
export function regenerate({ parent }: Turn): void {
  void begin(state.current, () => newTurn("assistant", "", parent));
}

/** Replies to a question without a reply. */
export function answer({ id }: Turn): void {
  void begin(state.current, () => newTurn("assistant", "", id));
}

/** Continues a reply that was cut. */
export function proceed(turn: Turn): void {
  // Another tab may have written a newer version of the turn.
  void begin(state.current, (chat) => chat.turns[turn.id] ?? turn);
}

/** Asks a question at the end of the branch on the page. Returns whether the reply has begun. */
export const ask = (chat: Chat, content: string): Promise<boolean> =>
  begin(chat, () => addQuestion(chat, content, path(chat).at(-1)?.id));

/** Adds a question, which is stored at once. Returns the turn for its reply. */
function addQuestion(chat: Chat, content: string, parent: string | undefined): Turn {
  const question = newTurn("user", content, parent);
  void change(chat, { turns: [question], leaf: question.id, updated: Date.now() });
  return newTurn("assistant", "", question.id);
}

/**
 * Begins a reply in the turn that `prepare` makes. If the reply can't begin, the banner says why
 * and nothing is changed.
 */
async function begin(chat: Chat, prepare: (chat: Chat) => Turn): Promise<boolean> {
  if (!state.engine) {
    sayNoModel();
    return false;
  }
  const { replies, statuses } = state;
  if (replies.has(chat.id)) return false;
  const reply: Reply = { stop: new AbortController() };
  statuses.set(chat.id, replies.size > 0 ? "waits for the reply in another chat" : "");
  replies.set(chat.id, reply);
  refresh();
  const release = await storage.lock(chat.id);
  if (!release) {
    replies.delete(chat.id);
    showBanner("Another tab is replying in this chat. Nothing was changed.");
    refresh();
    return false;
  }
  // Another tab may have ended a reply whose message has not arrived in this tab.
  const stored = await storage.read(chat.id).catch(() => undefined);
  if (stored && stored.deleted === undefined) chat.leaf = takeNewerTurns(chat, stored) ?? chat.leaf;
  // The model may have been replaced while this tab waited for the lock.
  if (!state.engine) {
    release();
    replies.delete(chat.id);
    sayNoModel();
    refresh();
    return false;
  }
  reply.turn = prepare(chat);
  void write(chat, reply.turn).finally(release);
  return true;
}

/** Writes a reply into a new turn, or continues that of an existing one. */
async function write(chat: Chat, turn: Turn): Promise<void> {
  const { engine } = state;
  const before = { leaf: chat.leaf, content: turn.content, cut: turn.cut };
  apply(chat, { turns: [turn], leaf: turn.id });
  showBanner("");
  refresh();
  turn.cut = "interrupted";
  try {
    if (engine) turn.cut = await stream(engine, chat, turn);
    if (turn.content === before.content && turn.cut === "context") sayFull("The context is full.");
    else if (turn.content === "") showBanner("The model's reply is empty.");
  } catch (error) {
    const stopped = error instanceof Aborted || engine !== state.engine;
    if (turn.content === before.content) turn.cut = before.cut;
    else if (stopped) turn.cut = "stopped";
    if (!stopped) reportFailure(error);
    setStatus(chat, stopped ? "stopped" : "");
  } finally {
    if (turn.content === "") {
      delete chat.turns[turn.id];
      chat.leaf = before.leaf;
    } else {
      turn.changed = Date.now();
      await change(chat, { turns: [turn], updated: turn.changed });
    }
    state.replies.delete(chat.id);
    refresh();
    const { activeElement } = document;
    const isFocusFree = activeElement === null || activeElement === document.body;
    if (chat === state.current && isFocusFree) byId("input").focus();
  }
}

/** Streams a reply into a turn. Returns the reason why it was cut, or `undefined`. */
async function stream(engine: Engine, chat: Chat, turn: Turn): Promise<Turn["cut"]> {
  const { settings } = state;
  const { temperature, top_p, repetition_penalty, max_tokens, seed } = settings;
  const system: Message[] = settings.system.trim()
    ? [{ role: "system", content: settings.system }]
    : [];
  const turns = path(chat, turn.content === "" ? turn.parent : turn.id);
  const chunks = await engine.chat.completions.create({
    messages: [...system, ...turns.map(({ role, content }) => ({ role, content }))],
    continue_final_message: turn.content !== "",
    stream: true,
    temperature,
    top_p,
    repetition_penalty,
    max_tokens,
    seed,
    signal: state.replies.get(chat.id)?.stop.signal,
    onPrompt: (done, total) =>
      setStatus(chat, `reading ${number(done)} of ${number(total)} tokens`),
  });
  let cut: Turn["cut"];
  let tokens = 0;
  let begin = 0;
  for await (const { choices, usage } of chunks) {
    const [{ delta, token_ids, finish_reason }] = choices;
    if (delta.content) {
      turn.content += delta.content;
      turn.changed = Date.now();
      storage.saveSoon(chat.id, { turns: [turn], leaf: turn.id });
      if (chat === state.current) messages.update(turn);
    }
    if (token_ids.length > 0) {
      begin ||= performance.now();
      tokens += token_ids.length;
      const seconds = (performance.now() - begin) / 1000;
      if (seconds > 0.5) setStatus(chat, `${((tokens - 1) / seconds).toFixed(1)} tokens/s`);
    }
    if (!usage) continue;
    if (finish_reason === "length") {
      cut = usage.completion_tokens === max_tokens ? "limit" : "context";
    }
    const rate = `${usage.completion_tokens_per_second.toFixed(1)} tokens/s`;
    const { context } = await engine.info();
    setStatus(chat, `${rate} · ${number(usage.total_tokens)} of ${number(context)} tokens`);
  }
  return cut;
}

/** Shows the error of a reply, and what helps. */
function reportFailure(error: unknown): void {
  if (error instanceof ContextFull) {
    sayFull(errorText(error));
    return;
  }
  if (error instanceof BadRequest) {
    showBanner(errorText(error));
    return;
  }
  // After any other error the engine can't be trusted. Its model is loaded again; the chat stays.
  state.engine?.destroy();
  state.engine = undefined;
  const isLost = error instanceof DeviceLost || !(error instanceof GodwitError);
  showBanner(`${errorText(error)}${isLost ? " The chat is kept." : ""}`, reloadAction());
}

/** Says that the context is full, and what helps. */
function sayFull(text: string): void {
  const action = largerContextAction();
  showBanner(action ? text : `${text} Begin a new chat.`, action);
}
