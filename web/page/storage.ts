/**
 * Chats in the browser's database: a record each, which all tabs of the page change and hear of.
 */

import { createStore, get, promisifyRequest, update } from "idb-keyval";
import type { Message } from "../js/index.js";
import { type Chat, type Patch, addMessages, apply, isMessage, joined, newChat } from "./chats.js";

/** Milliseconds between two writes of what changes all the time: a reply, a draft. */
const INTERVAL = 500;
/** Milliseconds after which it is no longer known that there was a deleted chat. */
const FORGOTTEN = 86_400_000;

const RECORD = "chat:";
/** Begins the names in `localStorage` of changes that a closing page had no time to write. */
const UNSAVED = "godwit.unsaved.";

// idb-keyval's default database, in which the page's first version kept all chats as one value.
const store = createStore("keyval-store", "keyval");
const channel = new BroadcastChannel("godwit-chats");
const tab = crypto.randomUUID();

/** Changes that wait for the next write, and those that are being written. */
const waiting = new Map<string, Patch>();
const writing = new Set<{ id: string; patch: Patch }>();
let timer: ReturnType<typeof setTimeout> | undefined;
let failed = (_error: unknown) => {};

/**
 * Calls `changed` with the id of each chat that another tab changed, and `onError` when a write
 * fails.
 */
export function listen(changed: (id: string) => void, onError: (error: unknown) => void): void {
  channel.onmessage = ({ data }: MessageEvent<string>) => changed(data);
  failed = onError;
  addEventListener("storage", async ({ key }) => {
    if (key?.startsWith(UNSAVED)) for (const id of await recover()) changed(id);
  });
  addEventListener("pagehide", () => {
    void saveWaiting();
    // A transaction may not survive the page; local storage is written at once.
    const unsaved = new Map<string, Patch>();
    for (const { id, patch } of writing) unsaved.set(id, joined(unsaved.get(id), patch));
    for (const [id, patch] of unsaved)
      localStorage.setItem(`${UNSAVED}${tab}.${id}`, JSON.stringify(patch));
  });
}

/** Writes a change of a chat, and tells the other tabs. */
export async function save(id: string, patch: Patch): Promise<void> {
  waiting.set(id, joined(waiting.get(id), patch));
  await saveWaiting();
}

/** Writes a change of a chat within half a second. */
export function saveSoon(id: string, patch: Patch): void {
  waiting.set(id, joined(waiting.get(id), patch));
  timer ??= setTimeout(() => void saveWaiting(), INTERVAL);
}

async function saveWaiting(): Promise<void> {
  clearTimeout(timer);
  timer = undefined;
  const patches = [...waiting];
  waiting.clear();
  await Promise.all(patches.map(([id, patch]) => write(id, patch)));
}

/** Writes a change of a chat. Returns whether it is written. */
async function write(id: string, patch: Patch): Promise<boolean> {
  const entry = { id, patch };
  writing.add(entry);
  try {
    await update<Chat>(RECORD + id, (chat) => apply(chat ?? newChat(id), patch), store);
    channel.postMessage(id);
    return true;
  } catch (error) {
    // It is tried again with the next change.
    waiting.set(id, joined(patch, waiting.get(id) ?? {}));
    failed(error);
    return false;
  } finally {
    writing.delete(entry);
  }
}

/** A chat as it is stored. */
export const read = (id: string): Promise<Chat | undefined> => get<Chat>(RECORD + id, store);

/** All chats that are stored. */
export async function readAll(): Promise<Chat[]> {
  await migrate();
  await recover();
  const now = Date.now();
  const all = await store("readonly", (records) =>
    promisifyRequest<Chat[]>(records.getAll(IDBKeyRange.bound(RECORD, `${RECORD}\uffff`))),
  );
  for (const { id, deleted } of all) {
    if (deleted === undefined) continue;
    if (deleted < now - FORGOTTEN)
      void store("readwrite", (records) => void records.delete(RECORD + id));
    // A tab that can restore it still has all of it.
    else void purge(id);
  }
  return all.filter(({ deleted }) => deleted === undefined);
}

/**
 * Erases what a deleted chat holds. That it is deleted stays known: another tab may still write to
 * it.
 */
export function purge(id: string): Promise<void> {
  const erased = (chat: Chat): Chat => ({ ...newChat(id), deleted: chat.deleted });
  return store("readwrite", async (records) => {
    const chat = await promisifyRequest<Chat | undefined>(records.get(RECORD + id));
    if (chat?.deleted !== undefined) records.put(erased(chat), RECORD + id);
  });
}

/** A change as closing pages leave it; nothing where the text is no such thing. */
function parsed(text: string | null): Patch | undefined {
  try {
    const value: unknown = JSON.parse(text ?? "null");
    return typeof value === "object" && value !== null ? (value as Patch) : undefined;
  } catch {
    return undefined;
  }
}

/** Writes what closing pages left in local storage. Returns the ids of the chats. */
async function recover(): Promise<string[]> {
  const keys = Object.keys(localStorage).filter((key) => key.startsWith(UNSAVED));
  const ids: string[] = [];
  for (const key of keys) {
    const patch = parsed(localStorage.getItem(key));
    const id = key.slice(UNSAVED.length + tab.length + 1);
    // It stays where it is until it is written elsewhere.
    if (patch && !(await write(id, patch))) continue;
    localStorage.removeItem(key);
    ids.push(id);
  }
  return ids;
}

/** Chats as the page's first version kept them: all in one value. */
interface OldChat {
  id: string;
  updated: number;
  messages: Message[];
}

/**
 * Makes records of chats that the page's first version kept, in one transaction. What is none stays
 * where it is.
 */
function migrate(): Promise<void> {
  return store("readwrite", async (records) => {
    const old = await promisifyRequest<unknown>(records.get("chats"));
    if (!Array.isArray(old)) return;
    const isOld = (chat: Partial<OldChat> | null): chat is OldChat =>
      typeof chat?.id === "string" &&
      Array.isArray(chat.messages) &&
      chat.messages.every(isMessage);
    for (const { id, updated, messages } of old.filter(isOld)) {
      const known = await promisifyRequest<Chat | undefined>(records.get(RECORD + id));
      const chat = known ?? { ...newChat(id), updated: Number(updated) || Date.now() };
      addMessages(chat, messages);
      records.put(chat, RECORD + id);
    }
    const rest = old.filter((chat: Partial<OldChat> | null) => !isOld(chat));
    if (rest.length > 0) records.put(rest, "chats");
    else records.delete("chats");
  });
}

/** The name of the lock that a tab holds while a reply comes to a chat. */
const LOCK = "godwit-reply:";

/** The chats for which this tab has the lock. */
const mine = new Set<string>();

/** Milliseconds that a reply of another tab, which may just end, is waited for. */
const ENDING = 300;

/** Takes a chat for a reply. Returns what gives it back, or nothing where another tab has it. */
export async function hold(id: string): Promise<(() => void) | undefined> {
  for (;;) {
    const release = await held(id);
    if (release) return release;
    // Tabs that wait for the end of a reply have the lock for a moment, and a slow browser may need
    // longer for its answer.
    if ((await chatsOfOtherTabs()).includes(id)) return undefined;
  }
}

/** Takes the lock of a chat. Returns what gives it back, or nothing where it took too long. */
function held(id: string): Promise<(() => void) | undefined> {
  return new Promise((resolve) => {
    const work = () => {
      mine.add(id);
      return new Promise<void>((release) => resolve(release));
    };
    const signal = AbortSignal.timeout(ENDING);
    const request = navigator.locks.request(LOCK + id, { signal }, work);
    request.then(
      () => mine.delete(id),
      () => resolve(undefined),
    );
  });
}

/** The chats to which a reply comes in another tab. */
export async function chatsOfOtherTabs(): Promise<string[]> {
  const { held = [] } = await navigator.locks.query();
  const replies = held.filter(({ name, mode }) => name?.startsWith(LOCK) && mode === "exclusive");
  return replies.map(({ name = "" }) => name.slice(LOCK.length)).filter((id) => !mine.has(id));
}

/** Waits until no tab has a reply to a chat, however it ended. */
export async function released(id: string): Promise<void> {
  await navigator.locks.request(LOCK + id, { mode: "shared" }, () => undefined);
}
