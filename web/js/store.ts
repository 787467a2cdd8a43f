/** Models that are kept in the origin's private file system: a folder each, with a manifest. */

import { GodwitError, StorageError, words } from "./errors.js";
import { writeAll } from "./files.js";
import {
  type Manifest,
  OLD_SLOT,
  SLOTS,
  type Stored,
  decodeManifest,
  decodeOldManifest,
  encodeManifest,
} from "./manifest.js";

/** A model in the list of those kept. */
export interface CachedModel {
  /** Give it to `Engine.load`. */
  source: string;
  name: string;
  /** Bytes that it takes. */
  bytes: number;
  /** Whether all of it is there; else loading it goes on with the download. */
  complete: boolean;
}

const FOLDER = "godwit-models";

/** Whether the browser has a private file system for this page. */
export function canStore(): boolean {
  return typeof globalThis.navigator?.storage?.getDirectory === "function";
}

const isFull = (error: unknown) =>
  error instanceof DOMException && error.name === "QuotaExceededError";

/** Whether a failure means that there is no room, or no storage at all: a model can do without. */
export const isRefused = (error: unknown) => isFull(error) || error instanceof NoStorage;

/** The browser has no private file system for this page: in some browsers' private windows. */
class NoStorage extends StorageError {}

/** Does work with the file system, whose failures become StorageErrors; a full disk stays one. */
export async function stored<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const { name, message } = words(error);
    if (error instanceof GodwitError || isFull(error) || name === "AbortError") throw error;
    if (name === "NoModificationAllowedError") {
      throw new StorageError(
        `${what}: another tab or window is loading or deleting this model; ` +
          "wait until it is done, or close it, then load again",
      );
    }
    if (!(error instanceof DOMException || error instanceof TypeError)) throw error;
    throw new StorageError(`${what}: the browser's storage fails: ${message}`);
  }
}

/** The name of the lock of the model in this folder. */
const lockName = (folder: string) => `godwit-model ${folder}`;

/** Milliseconds between two calls of `wait`. */
const WAITING = 1000;

/**
 * Does work on the model of this URL while no other tab, window or worker of this origin changes
 * it, or, where `mode` is `exclusive`, reads it. A holder that ends, in whatever way, releases the
 * lock. `wait` is called each second while another holds it. Without Web Locks the work is done at
 * once: a file that two tabs write at the same time is then a StorageError.
 */
export async function locked<T>(
  source: string,
  mode: LockMode,
  wait: () => void,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  const locks = globalThis.navigator.locks as LockManager | undefined;
  if (!locks) return work();
  const name = lockName(await folderName(source));
  // Failures of the work are carried past the lock, whose own are other ones.
  type Outcome = { value: T } | { error: unknown };
  const outcome = (): Promise<Outcome> =>
    work().then(
      (value) => ({ value }),
      (error: unknown) => ({ error }),
    );
  let done: Outcome | undefined;
  try {
    done = await locks.request(name, { mode, ifAvailable: true }, async (lock) =>
      lock ? outcome() : undefined,
    );
  } catch {
    // No locks for this page: where it is sandboxed.
    return work();
  }
  if (!done) {
    wait();
    const timer = setInterval(wait, WAITING);
    try {
      done = await locks.request(name, { mode, signal }, () => (clearInterval(timer), outcome()));
    } finally {
      clearInterval(timer);
    }
  }
  if ("error" in done) throw done.error;
  return done.value;
}

async function models(): Promise<FileSystemDirectoryHandle> {
  let root: FileSystemDirectoryHandle;
  try {
    root = await navigator.storage.getDirectory();
  } catch (error) {
    throw new NoStorage(`the browser offers this page no storage: ${words(error).message}`);
  }
  return root.getDirectoryHandle(FOLDER, { create: true });
}

/** A folder's name: a hash, for URLs have characters that names may not have. */
async function folderName(source: string): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(source));
  return Array.from(new Uint8Array(hash, 0, 16), (byte) => byte.toString(16).padStart(2, "0")).join(
    "",
  );
}

/** The folder of the model of this URL, made where there is none. */
export async function folderOf(source: string): Promise<FileSystemDirectoryHandle> {
  return (await models()).getDirectoryHandle(await folderName(source), { create: true });
}

/** The folder of the model of this URL, where there is one. */
export async function findFolder(source: string): Promise<FileSystemDirectoryHandle | undefined> {
  const folder = await models();
  try {
    return await folder.getDirectoryHandle(await folderName(source));
  } catch {
    return undefined;
  }
}

/** A folder's file as text, or `undefined` where there is none. */
async function readText(
  folder: FileSystemDirectoryHandle,
  name: string,
): Promise<string | undefined> {
  try {
    return await (await (await folder.getFileHandle(name)).getFile()).text();
  } catch {
    return undefined;
  }
}

/** The manifest in one of its two files. */
async function readSlot(
  folder: FileSystemDirectoryHandle,
  slot: string,
): Promise<Stored | undefined> {
  const text = await readText(folder, slot);
  return text === undefined ? undefined : decodeManifest(text);
}

/** The manifest of a folder, or `undefined` where there is none that is whole. */
export async function readManifest(
  folder: FileSystemDirectoryHandle,
): Promise<Manifest | undefined> {
  const [first, second] = await Promise.all(SLOTS.map((slot) => readSlot(folder, slot)));
  const newest =
    first && second ? (first.number > second.number ? first : second) : (first ?? second);
  const found = newest ?? decodeOldManifest((await readText(folder, OLD_SLOT)) ?? "");
  // A folder's name follows from the model's URL.
  if (!found || (await folderName(found.manifest.source)) !== folder.name) return undefined;
  return found.manifest;
}

/**
 * Writes a manifest over the older one of the two that are stored. A tab that ends here leaves the
 * newer one. Only workers can.
 */
export async function writeManifest(
  folder: FileSystemDirectoryHandle,
  manifest: Manifest,
): Promise<void> {
  const stored = await Promise.all(SLOTS.map((slot) => readSlot(folder, slot)));
  const [first = 0, second = 0] = stored.map((one) => one?.number);
  const number = Math.max(first, second) + 1;
  const bytes = await encodeManifest({ number, manifest });
  const slot = await folder.getFileHandle(SLOTS[first > second ? 1 : 0], { create: true });
  const handle = await slot.createSyncAccessHandle();
  try {
    handle.truncate(0);
    writeAll(handle, bytes, 0);
    handle.flush();
  } finally {
    handle.close();
  }
  await folder.removeEntry(OLD_SLOT).catch(() => undefined);
}

/** The models that are kept, the last used first. */
export async function cachedModels(): Promise<CachedModel[]> {
  if (!canStore()) return [];
  return stored("the kept models can't be listed", async () => {
    const found: (CachedModel & { used: number })[] = [];
    const damaged: FileSystemDirectoryHandle[] = [];
    for await (const entry of (await models()).values()) {
      if (entry.kind !== "directory") continue;
      try {
        const model = await listed(entry);
        if (model) found.push(model);
        else damaged.push(entry);
      } catch {
        // Another tab may delete it at this moment.
      }
    }
    for (const folder of damaged) await sweep(folder);
    found.sort((a, b) => b.used - a.used);
    return found.map(({ used: _, ...model }) => model);
  }).catch((error) => {
    if (error instanceof NoStorage) return [];
    throw error;
  });
}

async function listed(
  folder: FileSystemDirectoryHandle,
): Promise<(CachedModel & { used: number }) | undefined> {
  const manifest = await readManifest(folder);
  if (!manifest) return undefined;
  let bytes = 0;
  for await (const file of folder.values()) {
    if (file.kind === "file") bytes += (await file.getFile()).size;
  }
  const complete = manifest.files.every((file) => file.pieces === true);
  return { source: manifest.source, name: manifest.name, bytes, complete, used: manifest.used };
}

/**
 * Deletes a folder without a manifest that is whole: nothing can be loaded from it. While a tab
 * holds the folder's lock it stays, because a copy gets its manifest last. Without Web Locks no
 * folder is deleted.
 */
async function sweep(folder: FileSystemDirectoryHandle): Promise<void> {
  const locks = globalThis.navigator.locks as LockManager | undefined;
  const options = { mode: "exclusive", ifAvailable: true } as const;
  const work = async (lock: Lock | null) => {
    if (!lock || (await readManifest(folder))) return;
    await (await models()).removeEntry(folder.name, { recursive: true });
  };
  // The next list tries again.
  await locks?.request(lockName(folder.name), options, work).catch(() => undefined);
}

/** Deletes what is kept of the model of this URL, for whoever holds its lock. */
export async function removeModel(source: string): Promise<void> {
  await (
    await models()
  )
    .removeEntry(await folderName(source), { recursive: true })
    .catch((error) => {
      if (words(error).name !== "NotFoundError") throw error;
    });
}

/** Deletes what is kept of the model of this URL. A StorageError: another tab is loading it. */
export async function deleteCached(source: string): Promise<void> {
  if (!canStore()) return;
  const what = "the kept model can't be deleted";
  const busy = new AbortController();
  try {
    await locked(
      source,
      "exclusive",
      () => busy.abort(),
      busy.signal,
      () => stored(what, () => removeModel(source)),
    );
  } catch (error) {
    if (error instanceof NoStorage) return;
    if (!busy.signal.aborted) throw error;
    throw new StorageError(
      `${what}: another tab or window is loading it; wait until it is done, or close it`,
    );
  }
}
