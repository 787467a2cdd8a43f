/**
 * Conversations as trees of turns. An edited or regenerated turn becomes a sibling of the previous
 * version.
 */

import type { Message } from "../js/index.js";

/** The reason why a reply ended before the model's end token. */
export type Cut = "limit" | "context" | "stopped" | "interrupted";

/** One message. */
export interface Turn extends Message {
  id: string;
  /** The id of the previous turn; `undefined` for the first one. */
  parent?: string;
  cut?: Cut;
  /** Milliseconds since 1970. Siblings are ordered by it. */
  created: number;
  /** Milliseconds since 1970. Of two versions of a turn the one that was changed last is kept. */
  changed: number;
}

/** A conversation. */
export interface Chat {
  id: string;
  /** Milliseconds since 1970. */
  updated: number;
  turns: Record<string, Turn>;
  /** The id of the last turn of the branch on the page. */
  leaf?: string;
  /** The text in the composer. */
  draft: string;
  /** The time of deletion, in milliseconds since 1970. */
  deleted?: number;
}

/** A change to a chat. Missing members stay as they are, so tabs don't overwrite each other. */
export interface Patch {
  turns?: Turn[];
  leaf?: string;
  draft?: string;
  updated?: number;
  /** A time, or null to restore the chat. */
  deleted?: number | null;
}

/** An empty conversation. */
export function newChat(id: string = crypto.randomUUID()): Chat {
  return { id, updated: Date.now(), turns: {}, draft: "" };
}

/** A new turn after `parent`. */
export function newTurn(role: Message["role"], content: string, parent?: string): Turn {
  const now = Date.now();
  return { id: crypto.randomUUID(), parent, role, content, created: now, changed: now };
}

/** Changes a chat. A deleted chat ignores all changes except its restoration. */
export function apply(chat: Chat, { turns = [], leaf, draft, updated, deleted }: Patch): Chat {
  if (chat.deleted !== undefined && deleted === undefined) return chat;
  for (const turn of turns) {
    const known = chat.turns[turn.id];
    if (!known || known.changed <= turn.changed) chat.turns[turn.id] = turn;
  }
  if (leaf !== undefined) chat.leaf = leaf;
  if (draft !== undefined) chat.draft = draft;
  if (updated !== undefined) chat.updated = Math.max(chat.updated, updated);
  if (deleted === null) delete chat.deleted;
  else if (deleted !== undefined) chat.deleted = deleted;
  return chat;
}

/** Merges two successive changes. */
export function joined(first: Patch | undefined, second: Patch): Patch {
  const turns = new Map(
    [...(first?.turns ?? []), ...(second.turns ?? [])].map((turn) => [turn.id, turn]),
  );
  return { ...first, ...second, turns: [...turns.values()] };
}

/** The whole content of a chat, as a change. */
export function everything({ turns, leaf, draft, updated }: Chat): Patch {
  return { turns: Object.values(turns), leaf, draft, updated };
}

/** The turns from the first one to `leaf`. */
export function path(chat: Chat, leaf = chat.leaf): Turn[] {
  const turns = new Set<Turn>();
  for (let at = leaf; at !== undefined; at = chat.turns[at]?.parent) {
    const turn = chat.turns[at];
    if (!turn || turns.has(turn)) break;
    turns.add(turn);
  }
  return [...turns].reverse();
}

/** The turns that follow `parent`, the oldest first. */
export function children(chat: Chat, parent: string | undefined): Turn[] {
  const found = Object.values(chat.turns).filter((turn) => turn.parent === parent);
  return found.sort((a, b) => a.created - b.created);
}

/** The id of the last turn of the newest branch through a turn. */
export function newestLeaf(chat: Chat, id: string): string {
  const descendants = Object.values(chat.turns).filter((turn) =>
    path(chat, turn.id).some((one) => one.id === id),
  );
  const last = descendants.reduce<Turn | undefined>(
    (a, b) => (a && a.created > b.created ? a : b),
    undefined,
  );
  return last?.id ?? id;
}

/**
 * Merges the turns of a stored chat that are newer. Returns the last turn of the stored branch,
 * which the caller may show.
 */
export function takeNewerTurns(chat: Chat, stored: Chat): string | undefined {
  const { leaf, turns = [], updated } = everything(stored);
  const isNewer = ({ id, changed }: Turn) => changed > (chat.turns[id]?.changed ?? -1);
  apply(chat, { turns: turns.filter(isNewer), updated });
  return leaf;
}

/** A conversation's title: the beginning of its first question, or of its draft. */
export function title(chat: Chat): string {
  const question = path(chat).find(({ role }) => role === "user")?.content;
  return (question ?? chat.draft).trim().slice(0, 60) || "New chat";
}

/** Whether a chat has neither turns nor a draft. */
export const isEmpty = (chat: Chat) =>
  Object.keys(chat.turns).length === 0 && chat.draft.trim() === "";

/** Adds messages as one branch of turns. Turns that the chat already has are not added again. */
export function addMessages(chat: Chat, messages: Message[]): void {
  let parent: string | undefined;
  for (const { role, content } of messages) {
    const known = children(chat, parent).find(
      (turn) => turn.role === role && turn.content === content,
    );
    const turn = known ?? newTurn(role, content, parent);
    chat.turns[turn.id] = turn;
    parent = turn.id;
  }
  chat.leaf ??= parent;
}

const ROLES: unknown[] = ["system", "user", "assistant"];
const CUTS: unknown[] = ["limit", "context", "stopped", "interrupted"];

/** Whether a value is a message. */
export function isMessage(value: unknown): value is Message {
  const { role, content } = (value ?? {}) as Partial<Message>;
  return ROLES.includes(role) && typeof content === "string";
}

/** Exports chats as a JSON file. `messages` is the branch on the page, for other programs. */
export function exported(chats: Chat[]): Blob {
  const all = chats.map((chat) => ({
    ...chat,
    messages: path(chat).map(({ role, content }) => ({ role, content })),
    turns: Object.values(chat.turns),
  }));
  return new Blob([JSON.stringify({ godwit: 2, chats: all }, null, 2)], {
    type: "application/json",
  });
}

/** Imports the chats in an exported file, with new ids. Throws if the file is damaged. */
export function imported(text: string): Chat[] {
  let chats: unknown;
  try {
    chats = (JSON.parse(text) as { chats?: unknown } | null)?.chats;
  } catch {
    throw new Error("the file is not JSON");
  }
  if (!Array.isArray(chats)) throw new Error("the file has no chats");
  return chats.map(importedChat);
}

interface ExportedChat {
  updated?: unknown;
  messages?: unknown;
  turns?: unknown;
  leaf?: unknown;
  draft?: unknown;
}

function importedChat(value: ExportedChat | null): Chat {
  const { updated, messages, turns, leaf, draft } = value ?? {};
  const chat = { ...newChat(), draft: typeof draft === "string" ? draft : "" };
  chat.updated = time(updated) ?? chat.updated;
  if (Array.isArray(turns) && turns.every(isMessage)) {
    const ids = new Map(turns.map((turn) => [(turn as Turn).id, crypto.randomUUID() as string]));
    if (ids.size < turns.length) throw new Error(DAMAGED);
    for (const { id, parent, role, content, cut, created } of turns as Turn[]) {
      const turn = { ...newTurn(role, content, ids.get(parent ?? "")), id: ids.get(id) ?? "" };
      if (CUTS.includes(cut)) turn.cut = cut;
      turn.created = time(created) ?? turn.created;
      chat.turns[turn.id] = turn;
    }
    chat.leaf = ids.get(String(leaf)) ?? Object.keys(chat.turns).at(-1);
    if (isRooted(chat)) return chat;
  } else if (Array.isArray(messages) && messages.every(isMessage)) {
    addMessages(chat, messages);
    return chat;
  }
  throw new Error(DAMAGED);
}

const DAMAGED = "a chat in the file is damaged";

/** A value as milliseconds since 1970, or `undefined` if it is not such a time. */
const time = (value: unknown) =>
  typeof value === "number" && value > 0 && value < Infinity ? value : undefined;

/** Whether every turn descends from a first one. Turns in a cycle do not. */
function isRooted(chat: Chat): boolean {
  const rooted = new Set<string | undefined>([undefined]);
  for (const turn of Object.values(chat.turns)) {
    const above = new Set<string>();
    let at: string | undefined = turn.id;
    for (; at !== undefined && !rooted.has(at); at = chat.turns[at]?.parent) {
      if (above.has(at)) return false;
      above.add(at);
    }
    for (const id of above) rooted.add(id);
  }
  return true;
}
