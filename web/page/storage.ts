/** Chats in the browser's database: one record for each, which all tabs of the page share. */

import { createStore, get, promisifyRequest, update } from "idb-keyval";
import type { Message } from "../js/index.js";
import { addMessages, apply, type Chat, isMessage, joined, newChat, type Patch } from "./chats.js";

/** Milliseconds between two writes of a streaming reply or a draft. */
const INTERVAL = 500;
/** Milliseconds after which the record of a deleted chat is removed. */
const FORGOTTEN = 86_400_000;

const RECORD = "chat:";
/** The prefix of `localStorage` keys for changes that a closing page could not write in time. */
const UNSAVED = "godwit.unsaved.";

// idb-keyval's default database, in which the page's first version kept all chats as one value.
const store = createStore("keyval-store", "keyval");
const channel = new BroadcastChannel("godwit-chats");
const tab = crypto.randomUUID();

/** Changes that wait for the next write, and changes that are being written. */
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
    // A transaction may end with the page, but writes to local storage are synchronous.
    const unsaved = new Map<string, Patch>();
    for (const { id, patch } of writing) unsaved.set(id, joined(unsaved.get(id), patch));
    for (const [id, patch] of unsaved)
      localStorage.setItem(`${UNSAVED}${tab}.${id}`, JSON.stringify(patch));
  });
}

/** Writes a change of a chat, and notifies the other tabs. */
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

/** Writes a change of a chat. Returns whether that succeeded. */
async function write(id: string, patch: Patch): Promise<boolean> {
  const entry = { id, patch };
  writing.add(entry);
  try {
    await update<Chat>(RECORD + id, (chat) => apply(chat ?? newChat(id), patch), store);
    channel.postMessage(id);
    return true;
  } catch (error) {
    // The next change of the chat retries the write.
    waiting.set(id, joined(patch, waiting.get(id) ?? {}));
    failed(error);
    return false;
  } finally {
    writing.delete(entry);
  }
}

/** Reads a chat from the database. */
export const read = (id: string): Promise<Chat | undefined> => get<Chat>(RECORD + id, store);

/** Reads all chats from the database. Removes the records of chats deleted long ago. */
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
    // A tab that still offers to restore the chat has a copy of it.
    else void purge(id);
  }
  return all.filter(({ deleted }) => deleted === undefined);
}

/**
 * Erases the content of a deleted chat. Its record stays, so that a write of another tab does not
 * restore the chat.
 */
export function purge(id: string): Promise<void> {
  const erased = (chat: Chat): Chat => ({ ...newChat(id), deleted: chat.deleted });
  return store("readwrite", async (records) => {
    const chat = await promisifyRequest<Chat | undefined>(records.get(RECORD + id));
    if (chat?.deleted !== undefined) records.put(erased(chat), RECORD + id);
  });
}

/** A change from local storage, or `undefined` if the text is not one. */
function parsed(text: string | null): Patch | undefined {
  try {
    const value: unknown = JSON.parse(text ?? "null");
    return typeof value === "object" && value !== null ? (value as Patch) : undefined;
  } catch {
    return undefined;
  }
}

/** Writes the changes that closing pages left in local storage. Returns the ids of the chats. */
async function recover(): Promise<string[]> {
  const keys = Object.keys(localStorage).filter((key) => key.startsWith(UNSAVED));
  const ids: string[] = [];
  for (const key of keys) {
    const patch = parsed(localStorage.getItem(key));
    const id = key.slice(UNSAVED.length + tab.length + 1);
    // The change stays in local storage until it is in the database.
    if (patch && !(await write(id, patch))) continue;
    localStorage.removeItem(key);
    ids.push(id);
  }
  return ids;
}

/** A chat as the page's first version stored it: all chats were one value. */
interface OldChat {
  id: string;
  updated: number;
  messages: Message[];
}

/**
 * Converts the chats of the page's first version to records, in one transaction. Values that are
 * not chats stay where they are.
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

/** The prefix of the name of the lock that a tab holds while it replies in a chat. */
const LOCK = "godwit-reply:";

/** The chats whose lock this tab holds. */
const lockedHere = new Set<string>();

/** Milliseconds to wait for the lock, for the case that another tab's reply is about to end. */
const LOCK_TIMEOUT = 300;

/**
 * Locks a chat for a reply. Returns the function that releases the lock, or `undefined` if another
 * tab holds it.
 */
export async function lock(id: string): Promise<(() => void) | undefined> {
  for (;;) {
    const release = await tryLock(id);
    if (release) return release;
    // The timeout alone does not prove that another tab is replying: tabs that wait for the end of
    // a reply hold the lock for a moment, and a slow browser may need longer.
    if ((await chatsOfOtherTabs()).includes(id)) return undefined;
  }
}

/** Locks a chat. Returns the function that releases the lock, or `undefined` after the timeout. */
function tryLock(id: string): Promise<(() => void) | undefined> {
  return new Promise((resolve) => {
    const work = () => {
      lockedHere.add(id);
      return new Promise<void>((release) => resolve(release));
    };
    const signal = AbortSignal.timeout(LOCK_TIMEOUT);
    const request = navigator.locks.request(LOCK + id, { signal }, work);
    request.then(
      () => lockedHere.delete(id),
      () => resolve(undefined),
    );
  });
}

/** The ids of chats in which another tab is replying. */
export async function chatsOfOtherTabs(): Promise<string[]> {
  const { held = [] } = await navigator.locks.query();
  const replies = held.filter(({ name, mode }) => name?.startsWith(LOCK) && mode === "exclusive");
  return replies
    .map(({ name = "" }) => name.slice(LOCK.length))
    .filter((id) => !lockedHere.has(id));
}

/** Waits until no tab is replying in a chat, whether its reply or the tab itself has ended. */
export async function released(id: string): Promise<void> {
  await navigator.locks.request(LOCK + id, { mode: "shared" }, () => undefined);
}
