/** A model's files, from wherever they are: kept, picked, or on a server. */

import type { ByteFile } from "godwit-wasm";
import { type Hash, download, measure, verify } from "./download.js";
import { BadModel, BadRequest } from "./errors.js";
import { BlobFile, HttpFile, writeAll } from "./files.js";
import { type Manifest, PIECE, type StoredFile, isFileName } from "./manifest.js";
import type { Phase } from "./protocol.js";
import { Changed } from "./request.js";
import { type Remote, type Source, filesOf, keptSource, remote } from "./sources.js";
import {
  canStore,
  deleteCached,
  findFolder,
  folderOf,
  isRefused,
  locked,
  readManifest,
  removeModel,
  stored,
  writeManifest,
} from "./store.js";

/** Hears how far a phase is, in bytes. */
export type Report = (phase: Phase, done: number, total: number) => void;

/** A model's files. */
export interface Obtained {
  name: string;
  files: ByteFile[];
}

/** How files are obtained. */
export interface Obtaining {
  /** What relative URLs begin with. */
  base: string;
  /** Whether picked files are copied to where models are kept. */
  keep: boolean;
  hash: () => Hash;
  report: Report;
  signal: AbortSignal;
  /**
   * Called before anything is downloaded or copied, with the model, of which only the head is to
   * be read, or without it where the server serves no ranges; and with the bytes of all files.
   * Whatever it throws ends the work.
   */
  check: (model: Obtained | undefined, bytes: number) => Promise<void>;
}

/** Milliseconds between two notes of what is done: an interruption costs no more than what came after the last. */
const REMEMBER = 500;

/** A model's files without downloading them: those that are kept, else read from the server where they are asked for. */
export async function peek(source: Source, base: string, signal: AbortSignal): Promise<Obtained> {
  const model = remote(source, base);
  if (!model) return local(source as File | File[]);
  return (await keptModel(model.source)) ?? onServer(model, await filesOf(model, signal));
}

/** The kept files of the model of this URL, if all of them are there. */
async function keptModel(source: string): Promise<Obtained | undefined> {
  if (!canStore()) return undefined;
  try {
    const folder = await findFolder(source);
    const manifest = folder && (await readManifest(folder));
    return folder && manifest && isComplete(manifest) ? await kept(folder, manifest) : undefined;
  } catch (error) {
    if (isRefused(error)) return undefined;
    throw error;
  }
}

/**
 * Hands a model's files to `use`. Those on a server are downloaded first, and kept; picked ones
 * are kept where `keep` says so. While `use` runs, no other tab deletes them; while they are
 * downloaded, no other tab downloads or reads them.
 */
export async function obtain<T>(
  source: Source,
  how: Obtaining,
  use: (model: Obtained) => Promise<T>,
): Promise<T> {
  const { base, report, signal } = how;
  const model = remote(source, base);
  const picked = model ? undefined : local(source as File | File[]);
  if (picked && !(how.keep && canStore())) return use(picked);
  const bytes = picked?.files.reduce((sum, { size }) => sum + size, 0) ?? 0;
  const name = model?.source ?? keptSource(picked?.files ?? []);
  const unkept = async () => {
    if (picked) return use(picked);
    return use(onServer(model as Remote, await filesOf(model as Remote, signal)));
  };
  if (!canStore()) return unkept();
  const wait = () => report("wait", 0, 0);
  if (picked) {
    // They may have changed since they were kept: they are copied again.
    await how.check(picked, bytes);
    const copied = await locked(name, "exclusive", wait, signal, () => copy(picked, bytes, how));
    if (!copied) return unkept();
  }
  for (;;) {
    const read = async () => {
      const files = await stored("the kept model can't be read", () => keptModel(name));
      if (!files || (model && (await isOther(model)))) return undefined;
      await remembered(name);
      return { value: await use(files) };
    };
    const done = await locked(name, "shared", wait, signal, read);
    if (done) return done.value;
    // Deleted by another tab in this moment.
    if (!model) return unkept();
    try {
      await locked(name, "exclusive", wait, signal, () => complete(model, how));
    } catch (error) {
      // The disk is full: the model still runs, read from the server.
      if (!isRefused(error)) throw error;
      await deleteCached(name).catch(() => undefined);
      return unkept();
    }
  }
}

/** Whether what is kept has another hash than is asked for. */
async function isOther({ source, sha256 }: Remote): Promise<boolean> {
  const folder = await findFolder(source);
  const manifest = folder && (await readManifest(folder));
  return hasOther(manifest, sha256);
}

function hasOther(manifest: Manifest | undefined, sha256: string | undefined): boolean {
  return (
    sha256 !== undefined &&
    (manifest?.files.some((file) => file.sha256 && file.sha256 !== sha256) ?? false)
  );
}

/** Notes that a kept model is used now, if no other tab is noting it. */
async function remembered(source: string): Promise<void> {
  try {
    const folder = await folderOf(source);
    const manifest = await readManifest(folder);
    if (manifest) await writeManifest(folder, { ...manifest, used: Date.now() });
  } catch {
    // The list of kept models is then in another order, no more.
  }
}

/** Forgets a model that turned out to be none: the next time it is downloaded again. */
export async function discard(source: Source, base: string, keep: boolean): Promise<void> {
  const model = remote(source, base);
  if (model) await deleteCached(model.source);
  else if (keep) await deleteCached(keptSource([source as File | File[]].flat()));
}

const isComplete = (manifest: Manifest) => manifest.files.every((file) => file.pieces === true);

/** Files that a person picked. */
interface Picked extends Obtained {
  files: BlobFile[];
}

function local(source: File | File[]): Picked {
  const files = [source].flat().sort((a, b) => (a.name < b.name ? -1 : 1));
  const [first] = files;
  if (!first) throw new BadRequest("no file was given");
  const wrong = files.find(({ name }) => !isFileName(name));
  if (wrong) throw new BadRequest(`a model's file can't be named ${JSON.stringify(wrong.name)}`);
  return { name: first.name, files: files.map((file) => new BlobFile(file.name, file)) };
}

/** Copies picked files to where models are kept. Without room, returns false and leaves nothing. */
async function copy(
  picked: Picked,
  total: number,
  { report, signal }: Obtaining,
): Promise<boolean> {
  const source = keptSource(picked.files);
  try {
    await stored("the copy can't be written", async () => {
      await checkRoom(total);
      await removeModel(source);
      const folder = await folderOf(source);
      let done = 0;
      for (const { name, blob } of picked.files) {
        const handle = await (
          await folder.getFileHandle(name, { create: true })
        ).createSyncAccessHandle();
        try {
          for (let at = 0; at < blob.size; at += PIECE) {
            signal.throwIfAborted();
            const piece = new Uint8Array(await blob.slice(at, at + PIECE).arrayBuffer());
            writeAll(handle, piece, at);
            report("copy", (done += piece.length), total);
          }
          handle.flush();
        } finally {
          handle.close();
        }
      }
      // Written last: without it the folder is no model.
      const files = picked.files.map(({ name, size }) => ({
        name,
        url: "",
        size,
        pieces: true as const,
      }));
      await writeManifest(folder, { source, name: picked.name, files, used: Date.now() });
    });
    return true;
  } catch (error) {
    await removeModel(source).catch(() => undefined);
    if (isRefused(error)) return false;
    throw error;
  }
}

async function kept(folder: FileSystemDirectoryHandle, manifest: Manifest): Promise<Obtained> {
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

/** Downloads and verifies what is missing of a model. */
async function complete(model: Remote, how: Obtaining): Promise<void> {
  const { hash, report, signal, check } = how;
  const before = await stored("the kept model can't be read", async () => {
    const folder = await findFolder(model.source);
    return folder && readManifest(folder);
  });
  // Another tab was faster.
  if (before && isComplete(before) && !hasOther(before, model.sha256)) return;
  const manifest: Manifest =
    before && !hasOther(before, model.sha256)
      ? before
      : {
          source: model.source,
          name: model.name,
          files: await filesOf(model, signal),
          used: Date.now(),
        };
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
    const size = found.size ?? 0;
    done += file.pieces.reduce((sum, i) => sum + pieceBytes(i, size), 0);
  }
  const total = manifest.files.reduce((sum, file) => sum + (file.size ?? 0), 0);
  const ranges = asked.every(([, found]) => found?.ranges !== false);
  const head = manifest.files.map(
    ({ name, url, size, etag }) => new HttpFile(name, url, size ?? 0, etag),
  );
  await check(ranges ? { name: model.name, files: head } : undefined, total);
  await checkRoom(total - done);

  await stored("the model can't be written", async () => {
    // A folder whose manifest is damaged may hold anything.
    if (manifest !== before) await removeModel(model.source);
    const folder = await folderOf(model.source);
    // One write of the manifest at a time.
    let writing = Promise.resolve();
    const save = () => (writing = writing.then(() => writeManifest(folder, manifest)));
    let remembered = 0;
    const remember = () => {
      if (Date.now() - remembered < REMEMBER) return;
      remembered = Date.now();
      // What the last one says is awaited below.
      save().catch(() => undefined);
    };
    const count = (bytes: number) => {
      done += bytes;
      // Not all sizes may be known.
      report("download", done, Math.max(done, total));
    };
    count(0);
    try {
      await save();
      for (const [file, found] of asked) {
        if (!found || file.pieces === true) continue;
        try {
          await download(folder, file, found.ranges, count, remember, signal);
        } catch (error) {
          // Pieces of two versions make no file.
          if (error instanceof Changed) file.pieces = [];
          throw error;
        }
        if (file.sha256) {
          const blob = await (await folder.getFileHandle(file.name)).getFile();
          await verify(blob, file, hash(), (at) => report("verify", at, blob.size), signal).catch(
            (error) => {
              // A damaged file is not to be gone on with.
              if (error instanceof BadModel) file.pieces = [];
              throw error;
            },
          );
        }
        file.pieces = true;
      }
    } finally {
      await save();
    }
  });
}

const pieceBytes = (i: number, size: number) => Math.max(0, Math.min(PIECE, size - i * PIECE));

/** Fails as a full disk does, where it will be one. */
async function checkRoom(bytes: number): Promise<void> {
  const { quota, usage } = await navigator.storage.estimate();
  if (quota !== undefined && usage !== undefined && bytes > quota - usage) {
    throw new DOMException(`${bytes} bytes do not fit`, "QuotaExceededError");
  }
}
