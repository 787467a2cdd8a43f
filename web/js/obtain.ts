/** A model's files, from wherever they are: kept, picked, or on a server. */

import type { ByteFile } from "godwit-wasm";
import { type Hash, PIECE, download, measure, verify } from "./download.js";
import { BadModel, BadRequest } from "./errors.js";
import { BlobFile, HttpFile } from "./files.js";
import type { Phase } from "./protocol.js";
import { type Remote, type Source, filesOf, keptSource, remote } from "./sources.js";
import {
  type Manifest, type StoredFile, alone, canStore, deleteCached, discardCached, folderOf, manifestOf, writeManifest,
} from "./store.js";

/** Hears how far a phase is, in bytes. */
export type Report = (phase: Phase, done: number, total: number) => void;

/** A model's files. */
export interface Obtained {
  name: string;
  files: ByteFile[];
}

/** Milliseconds between two notes of what is done: an interruption costs no more than what came after the last. */
const REMEMBER = 500;

/** A model's files without downloading them: those that are kept, else read from the server where they are asked for. */
export async function peek(source: Source, base: string, signal: AbortSignal): Promise<Obtained> {
  const model = remote(source, base);
  if (!model) return local(source as File | File[]);
  const manifest = await manifestOf(model.source);
  if (manifest && isComplete(manifest)) return kept(manifest);
  return onServer(model, await filesOf(model, signal));
}

/** A model's files; those on a server are downloaded first, and kept. Picked ones are kept where `keep` says so. */
export async function obtain(
  source: Source,
  base: string,
  keep: boolean,
  hash: () => Hash,
  report: Report,
  signal: AbortSignal,
): Promise<Obtained> {
  const model = remote(source, base);
  let waited = false;
  const waits = () => {
    waited = true;
    report("wait", 0, 0);
  };
  if (!model) {
    const picked = local(source as File | File[]);
    if (!keep || !canStore()) return picked;
    const name = keptSource(picked.files);
    return alone(name, waits, signal, async () => {
      // The other tab has just copied the same files, and may still read them.
      const manifest = waited ? await manifestOf(name) : undefined;
      return manifest ? kept(manifest) : copy(picked, report, signal);
    });
  }
  if (!canStore()) return onServer(model, await filesOf(model, signal));
  return alone(model.source, waits, signal, () => fetchAll(model, hash, report, signal));
}

/** A model's files, those that are missing downloaded first. */
async function fetchAll(model: Remote, hash: () => Hash, report: Report, signal: AbortSignal): Promise<Obtained> {
  try {
    let manifest = await manifestOf(model.source);
    if (!manifest || (model.sha256 && manifest.files.some((file) => file.sha256 && file.sha256 !== model.sha256))) {
      manifest = { source: model.source, name: model.name, files: await filesOf(model, signal), used: 0 };
    }
    if (!isComplete(manifest)) await complete(manifest, hash, report, signal);
    manifest.used = Date.now();
    await writeManifest(await folderOf(model.source), manifest);
    return await kept(manifest);
  } catch (error) {
    // The disk is full: the model still runs, read from the server.
    if (!isFull(error)) throw error;
    await discardCached(model.source).catch(() => undefined);
    return onServer(model, await filesOf(model, signal));
  }
}

/** Forgets a model that turned out to be none: the next time it is downloaded again. */
export async function discard(source: Source, base: string, keep: boolean): Promise<void> {
  const model = remote(source, base);
  const name = model?.source ?? (keep ? keptSource([source as File | File[]].flat()) : undefined);
  // Another tab may be getting it anew.
  if (name) await deleteCached(name).catch(() => undefined);
}

const isFull = (error: unknown) => error instanceof DOMException && error.name === "QuotaExceededError";

const isComplete = (manifest: Manifest) => manifest.files.every((file) => file.pieces === true);

/** Files that a person picked. */
interface Picked extends Obtained {
  files: BlobFile[];
}

function local(source: File | File[]): Picked {
  const files = [source].flat().sort((a, b) => (a.name < b.name ? -1 : 1));
  const [first] = files;
  if (!first) throw new BadRequest("no file was given");
  return { name: first.name, files: files.map((file) => new BlobFile(file.name, file)) };
}

/** Copies picked files to where models are kept. Where there is no room they are used as they are. */
async function copy(picked: Picked, report: Report, signal: AbortSignal): Promise<Obtained> {
  const source = keptSource(picked.files);
  const total = picked.files.reduce((sum, { size }) => sum + size, 0);
  try {
    await checkRoom(total);
    await discardCached(source);
    const folder = await folderOf(source);
    let done = 0;
    for (const { name, blob } of picked.files) {
      const handle = await (await folder.getFileHandle(name, { create: true })).createSyncAccessHandle();
      try {
        for (let at = 0; at < blob.size; at += PIECE) {
          signal.throwIfAborted();
          const piece = new Uint8Array(await blob.slice(at, at + PIECE).arrayBuffer());
          handle.write(piece, { at });
          report("copy", (done += piece.length), total);
        }
        handle.flush();
      } finally {
        handle.close();
      }
    }
    // Written last: without it the folder is no model.
    const files = picked.files.map(({ name, size }) => ({ name, url: "", size, pieces: true as const }));
    const manifest = { source, name: picked.name, files, used: Date.now() };
    await writeManifest(folder, manifest);
    return await kept(manifest);
  } catch (error) {
    await discardCached(source).catch(() => undefined);
    if (isFull(error)) return picked;
    throw error;
  }
}

async function kept(manifest: Manifest): Promise<Obtained> {
  const folder = await folderOf(manifest.source);
  const files = manifest.files.map(async ({ name, size }) => {
    const file = await (await folder.getFileHandle(name)).getFile();
    if (file.size !== size) throw new BadModel(`${name}: the kept copy is damaged; delete it and load the model again`);
    return new BlobFile(name, file);
  });
  return { name: manifest.name, files: await Promise.all(files) };
}

function onServer(model: Remote, files: StoredFile[]): Obtained {
  const there = files.flatMap((file) => {
    try {
      return [HttpFile.open(file.name, file.url)];
    } catch (error) {
      if (file.optional) return [];
      throw error;
    }
  });
  return { name: model.name, files: there };
}

/** Downloads and verifies what is missing. */
async function complete(
  manifest: Manifest,
  hash: () => Hash,
  report: Report,
  signal: AbortSignal,
): Promise<void> {
  const asked = await Promise.all(
    manifest.files.map(async (file) => [file, file.pieces === true ? undefined : await measure(file, signal)] as const),
  );
  manifest.files = asked.filter(([file, found]) => found || file.pieces === true).map(([file]) => file);
  let done = 0;
  for (const [file, found] of asked) {
    if (file.pieces === true) done += file.size ?? 0;
    if (file.pieces === true || !found) continue;
    // Another version than the one begun: none of it can be used.
    if (file.size !== found.size || file.etag !== found.etag || !found.ranges) file.pieces = [];
    [file.size, file.etag] = [found.size, found.etag];
    const { size } = found;
    done += file.pieces.reduce((sum, i) => sum + pieceBytes(i, size), 0);
  }
  const total = manifest.files.reduce((sum, file) => sum + (file.size ?? 0), 0);
  await checkRoom(total - done);
  // Only now: a model that no server has leaves no folder.
  const folder = await folderOf(manifest.source);

  // One write of the manifest at a time.
  let writing = Promise.resolve();
  const save = () => (writing = writing.then(() => writeManifest(folder, manifest)));
  let remembered = 0;
  const remember = () => {
    if (Date.now() - remembered < REMEMBER) return;
    remembered = Date.now();
    void save();
  };
  const count = (bytes: number) => report("download", (done += bytes), total);
  count(0);
  try {
    await save();
    for (const [file, found] of asked) {
      if (!found || file.pieces === true) continue;
      await download(folder, file, found.ranges, count, remember, signal);
      if (file.sha256) {
        const blob = await (await folder.getFileHandle(file.name)).getFile();
        await verify(blob, file, hash(), (at) => report("verify", at, blob.size), signal).catch((error) => {
          // A damaged file is not to be gone on with.
          if (error instanceof BadModel) file.pieces = [];
          throw error;
        });
      }
      file.pieces = true;
    }
  } finally {
    await save();
  }
}

const pieceBytes = (i: number, size: number) => Math.max(0, Math.min(PIECE, size - i * PIECE));

/** Fails as a full disk does, where it will be one. */
async function checkRoom(bytes: number): Promise<void> {
  const { quota, usage } = await navigator.storage.estimate();
  if (quota !== undefined && usage !== undefined && bytes > quota - usage) {
    throw new DOMException(`${bytes} bytes do not fit`, "QuotaExceededError");
  }
}
