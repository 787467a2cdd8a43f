/** Kept models in the origin's private file system: a folder for each, with a manifest. */

import { describe, GodwitError, StorageError } from "./errors.js";
import { writeAll } from "./files.js";
import {
  decodeManifest,
  decodeOldManifest,
  encodeManifest,
  type Manifest,
  OLD_SLOT,
  SLOTS,
  type Stored,
} from "./manifest.js";

/** A model in the list of kept ones. */
export interface CachedModel {
  /** The source that `Engine.load` takes. */
  source: string;
  name: string;
  /** Bytes on disk. */
  bytes: number;
  /** Whether the download is complete. If not, loading the model resumes it. */
  complete: boolean;
}

const FOLDER = "godwit-models";

/** Whether the browser offers this page a private file system. */
export function canStore(): boolean {
  return typeof globalThis.navigator?.storage?.getDirectory === "function";
}

const isFull = (error: unknown) =>
  error instanceof DOMException && error.name === "QuotaExceededError";

/** Whether an error means a full disk, or no storage. A model can then be read from its server. */
export const isRefused = (error: unknown) => isFull(error) || error instanceof NoStorage;

/** The browser refuses a private file system, as some browsers' private windows do. */
class NoStorage extends StorageError {}

/** Runs work on the file system. Its errors become `StorageError`s, except that of a full disk. */
export async function stored<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const { name, message } = describe(error);
    if (error instanceof GodwitError || isFull(error) || name === "AbortError") throw error;
    if (name === "NoModificationAllowedError") {
      throw new StorageError(
        `${what}: another tab or window is loading or deleting this model; ` +
          "wait until the other tab is done, or close it, then load again",
      );
    }
    if (!(error instanceof DOMException || error instanceof TypeError)) throw error;
    throw new StorageError(`${what}: the browser's storage fails: ${message}`);
  }
}

/** The name of the Web Lock of the model in this folder. */
const lockName = (folder: string) => `godwit-model ${folder}`;

/** Milliseconds between two calls of `wait`. */
const WAITING = 1000;

/**
 * Runs work while this tab holds the lock of the model of this URL. With `exclusive`, no other tab,
 * window or worker of this origin reads or changes the model; with `shared`, none changes it. The
 * browser releases the lock of a tab that ends. `wait` is called each second while another tab
 * holds the lock. Without Web Locks the work starts at once: a file that two tabs write at the same
 * time is then a `StorageError`.
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
  // The work's errors are returned as values, to distinguish them from errors of the lock.
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
    // A sandboxed page has no locks.
    return work();
  }
  if (!done) {
    wait();
    const timer = setInterval(wait, WAITING);
    try {
      done = await locks.request(name, { mode, signal }, () => {
        clearInterval(timer);
        return outcome();
      });
    } finally {
      clearInterval(timer);
    }
  }
  if ("error" in done) throw done.error;
  return done.value;
}

/** The folder that holds the folders of all models. */
async function models(): Promise<FileSystemDirectoryHandle> {
  let root: FileSystemDirectoryHandle;
  try {
    root = await navigator.storage.getDirectory();
  } catch (error) {
    throw new NoStorage(`the browser offers this page no storage: ${describe(error).message}`);
  }
  return root.getDirectoryHandle(FOLDER, { create: true });
}

/** The folder's name, a hash: URLs contain characters that file names may not have. */
async function folderName(source: string): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(source));
  return Array.from(new Uint8Array(hash, 0, 16), (byte) => byte.toString(16).padStart(2, "0")).join(
    "",
  );
}

/** The folder of the model of this URL, created if it is missing. */
export async function folderOf(source: string): Promise<FileSystemDirectoryHandle> {
  return (await models()).getDirectoryHandle(await folderName(source), { create: true });
}

/** The folder of the model of this URL, or `undefined`. */
export async function findFolder(source: string): Promise<FileSystemDirectoryHandle | undefined> {
  const folder = await models();
  try {
    return await folder.getDirectoryHandle(await folderName(source));
  } catch {
    return undefined;
  }
}

/** A file's text, or `undefined` if the file can't be read. */
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

/** The manifest in one of the two files, or `undefined` if it is damaged. */
async function readSlot(
  folder: FileSystemDirectoryHandle,
  slot: string,
): Promise<Stored | undefined> {
  const text = await readText(folder, slot);
  return text === undefined ? undefined : decodeManifest(text);
}

/** The manifest of a folder, or `undefined` if the folder has no valid one. */
export async function readManifest(
  folder: FileSystemDirectoryHandle,
): Promise<Manifest | undefined> {
  const [first, second] = await Promise.all(SLOTS.map((slot) => readSlot(folder, slot)));
  const newest =
    first && second ? (first.number > second.number ? first : second) : (first ?? second);
  const found = newest ?? decodeOldManifest((await readText(folder, OLD_SLOT)) ?? "");
  // The folder's name must be the hash of the model's URL.
  if (!found || (await folderName(found.manifest.source)) !== folder.name) return undefined;
  return found.manifest;
}

/**
 * Writes a manifest over the older of the two stored ones. A tab that is closed during the write
 * leaves the newer one intact. Only workers can call this.
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

/** The kept models, the most recently used first. */
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
        // Another tab deleted the folder meanwhile.
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

/** The entry of a folder in the list, or `undefined` if its manifest is damaged. */
async function listed(
  folder: FileSystemDirectoryHandle,
): Promise<(CachedModel & { used: number }) | undefined> {
  const manifest = await readManifest(folder);
  if (!manifest) return undefined;
  let bytes = 0;
  for await (const file of folder.values()) {
    if (file.kind === "file") bytes += (await file.getFile()).size;
  }
  const complete = manifest.files.every((file) => file.chunks === true);
  return { source: manifest.source, name: manifest.name, bytes, complete, used: manifest.used };
}

/**
 * Deletes a folder without a valid manifest. A folder whose lock is held stays, because a copy
 * writes its manifest last. Without Web Locks no folder is deleted.
 */
async function sweep(folder: FileSystemDirectoryHandle): Promise<void> {
  const locks = globalThis.navigator.locks as LockManager | undefined;
  const options = { mode: "exclusive", ifAvailable: true } as const;
  const work = async (lock: Lock | null) => {
    if (!lock || (await readManifest(folder))) return;
    await (await models()).removeEntry(folder.name, { recursive: true });
  };
  // The next listing retries a deletion that failed.
  await locks?.request(lockName(folder.name), options, work).catch(() => undefined);
}

/** Deletes the kept files of the model of this URL. The caller must hold its lock. */
export async function removeModel(source: string): Promise<void> {
  await (await models())
    .removeEntry(await folderName(source), { recursive: true })
    .catch((error) => {
      if (describe(error).name !== "NotFoundError") throw error;
    });
}

/** Deletes the kept model of this URL. Throws a `StorageError` if another tab is loading it. */
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
      `${what}: another tab or window is loading it; wait until the other tab is done, or close it`,
    );
  }
}
