/** Models that are kept in the origin's private file system: a folder each, with a manifest. */

import { BadRequest } from "./errors.js";

/** One of a model's files. */
export interface StoredFile {
  name: string;
  url: string;
  /** Bytes; unknown before the server was asked. */
  size?: number;
  /** What the server calls this version of the file. */
  etag?: string;
  /** In hexadecimal. */
  sha256?: string;
  /** A file that a repository may lack. */
  optional?: boolean;
  /** Which pieces are there; `true` when all are, and the hash was right. */
  pieces: number[] | true;
}

/** What is kept of a model. */
export interface Manifest {
  /** The URL that it is loaded by. */
  source: string;
  name: string;
  files: StoredFile[];
  /** Milliseconds since 1970. */
  used: number;
}

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
const MANIFEST = "manifest.json";

/** Whether the browser has a private file system for this page. */
export function canStore(): boolean {
  return typeof navigator.storage?.getDirectory === "function";
}

async function models(): Promise<FileSystemDirectoryHandle> {
  const root = await navigator.storage.getDirectory();
  return root.getDirectoryHandle(FOLDER, { create: true });
}

/** A folder's name: a hash, for URLs have characters that names may not have. */
async function folderName(source: string): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(source));
  return Array.from(new Uint8Array(hash, 0, 16), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The folder of the model of this URL, made where there is none. */
export async function folderOf(source: string): Promise<FileSystemDirectoryHandle> {
  return (await models()).getDirectoryHandle(await folderName(source), { create: true });
}

/** What is kept of the model of this URL, if anything is. */
export async function manifestOf(source: string): Promise<Manifest | undefined> {
  if (!canStore()) return undefined;
  const name = await folderName(source);
  const folder = await (await models()).getDirectoryHandle(name).catch(() => undefined);
  return folder && readManifest(folder);
}

/**
 * Does `work` while no other tab gets, copies or deletes the model of this URL. `waits` is called where another one does;
 * a signal ends the wait.
 */
export async function alone<T>(
  source: string,
  waits: () => void,
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  const name = `godwit-model:${source}`;
  const free = await navigator.locks.request(name, { ifAvailable: true }, async (lock) => lock && { done: await work() });
  if (free) return free.done;
  waits();
  return navigator.locks.request(name, { signal }, work);
}

/** What a folder says it holds; nothing where it says nothing that makes sense. */
export async function readManifest(folder: FileSystemDirectoryHandle): Promise<Manifest | undefined> {
  try {
    const file = await (await folder.getFileHandle(MANIFEST)).getFile();
    return JSON.parse(await file.text()) as Manifest;
  } catch {
    return undefined;
  }
}

/** Writes a manifest. Only workers can. */
export async function writeManifest(folder: FileSystemDirectoryHandle, manifest: Manifest): Promise<void> {
  const handle = await (await folder.getFileHandle(MANIFEST, { create: true })).createSyncAccessHandle();
  try {
    const bytes = new TextEncoder().encode(JSON.stringify(manifest));
    handle.truncate(0);
    handle.write(bytes, { at: 0 });
    handle.flush();
  } finally {
    handle.close();
  }
}

/** The models that are kept, the last used first. */
export async function cachedModels(): Promise<CachedModel[]> {
  if (!canStore()) return [];
  const found: (CachedModel & { used: number })[] = [];
  for await (const entry of (await models()).values()) {
    if (entry.kind !== "directory") continue;
    const manifest = await readManifest(entry);
    if (!manifest) continue;
    let bytes = 0;
    for await (const file of entry.values()) {
      if (file.kind === "file") bytes += (await file.getFile()).size;
    }
    const complete = manifest.files.every((file) => file.pieces === true);
    found.push({ source: manifest.source, name: manifest.name, bytes, complete, used: manifest.used });
  }
  found.sort((a, b) => b.used - a.used);
  return found.map(({ used: _, ...model }) => model);
}

/** Deletes what is kept of the model of this URL. Throws a BadRequest while a tab gets it. */
export async function deleteCached(source: string): Promise<void> {
  if (!canStore()) return;
  const busy = () => {
    throw new BadRequest("another tab is getting this model; it can be deleted when that tab is done");
  };
  await alone(source, busy, new AbortController().signal, () => discardCached(source));
}

/** Deletes what is kept of the model of this URL, for whoever has it [`alone`]. */
export async function discardCached(source: string): Promise<void> {
  await (await models()).removeEntry(await folderName(source), { recursive: true }).catch(() => undefined);
}
