/** Obtains a model's files: kept ones, picked ones, or those of a server. */

import type { ByteFile } from "godwit-wasm";
import { download, type Hash, measure, verify } from "./download.js";
import { BadModel, BadRequest } from "./errors.js";
import { BlobFile, HttpFile, writeAll } from "./files.js";
import { DOWNLOAD_CHUNK, isFileName, type Manifest, type StoredFile } from "./manifest.js";
import type { Phase } from "./protocol.js";
import { ChangedError } from "./request.js";
import { filesOf, keptSource, type Remote, remote, type Source } from "./sources.js";
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

/** Receives the progress of a phase, in bytes. */
export type Report = (phase: Phase, done: number, total: number) => void;

/** A model's files. */
export interface Obtained {
  name: string;
  files: ByteFile[];
}

/** The options of `obtain`. */
export interface ObtainOptions {
  /** The base of relative URLs. */
  base: string;
  /** Whether to keep a copy of picked files. */
  keep: boolean;
  hash: () => Hash;
  report: Report;
  signal: AbortSignal;
  /**
   * Called before files are downloaded or copied, with the bytes of all files. `model` gives access
   * to the head of the files; it is missing if the server serves no ranges. An error that `check`
   * throws ends the work.
   */
  check: (model: Obtained | undefined, bytes: number) => Promise<void>;
}

/** Milliseconds between two writes of the manifest: what an interrupted download may lose. */
const MANIFEST_INTERVAL = 500;

/**
 * A model's files without a download: the kept ones, or ranges from the server as they are read.
 */
export async function peek(source: Source, base: string, signal: AbortSignal): Promise<Obtained> {
  const model = remote(source, base);
  if (!model) return local(source as File | File[]);
  return (await keptModel(model.source)) ?? onServer(model, await filesOf(model, signal));
}

/** The kept files of the model of this URL, if all of them are complete. */
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
 * Calls `use` with a model's files. Files on a server are first downloaded and kept; picked files
 * are kept if `keep` is set. A shared lock protects the files from deletion while `use` runs; an
 * exclusive lock is held while they are downloaded or copied.
 */
export async function obtain<T>(
  source: Source,
  options: ObtainOptions,
  use: (model: Obtained) => Promise<T>,
): Promise<T> {
  const { base, report, signal } = options;
  const model = remote(source, base);
  const picked = model ? undefined : local(source as File | File[]);
  if (picked && !(options.keep && canStore())) return use(picked);
  const bytes = picked?.files.reduce((sum, { size }) => sum + size, 0) ?? 0;
  const name = model?.source ?? keptSource(picked?.files ?? []);
  const unkept = async () => {
    if (picked) return use(picked);
    return use(onServer(model as Remote, await filesOf(model as Remote, signal)));
  };
  if (!canStore()) return unkept();
  const wait = () => report("wait", 0, 0);
  if (picked) {
    // Picked files may have changed since an earlier copy, so they are always copied.
    await options.check(picked, bytes);
    const copied = await locked(name, "exclusive", wait, signal, () =>
      copy(picked, bytes, options),
    );
    if (!copied) return unkept();
  }
  for (;;) {
    const read = async () => {
      const files = await stored("the kept model can't be read", () => keptModel(name));
      if (!files || (model && (await isOther(model)))) return undefined;
      await recordUse(name);
      return { value: await use(files) };
    };
    const done = await locked(name, "shared", wait, signal, read);
    if (done) return done.value;
    // Another tab deleted the copy between the two locks.
    if (!model) return unkept();
    try {
      await locked(name, "exclusive", wait, signal, () => complete(model, options));
    } catch (error) {
      // Without room on the disk, the model runs with weights read from the server.
      if (!isRefused(error)) throw error;
      await deleteCached(name).catch(() => undefined);
      return unkept();
    }
  }
}

/** Whether the kept files have another hash than the requested one. */
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

/** Records the time of use of a kept model, unless another tab is writing its manifest. */
async function recordUse(source: string): Promise<void> {
  try {
    const folder = await folderOf(source);
    const manifest = await readManifest(folder);
    if (manifest) await writeManifest(folder, { ...manifest, used: Date.now() });
  } catch {
    // The time of use only orders the list of kept models.
  }
}

/** Deletes kept files that turned out to be damaged, so that the next load downloads them again. */
export async function discard(source: Source, base: string, keep: boolean): Promise<void> {
  const model = remote(source, base);
  if (model) await deleteCached(model.source);
  else if (keep) await deleteCached(keptSource([source as File | File[]].flat()));
}

const isComplete = (manifest: Manifest) => manifest.files.every((file) => file.chunks === true);

/** Files that the user picked. */
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

/** Copies picked files to where models are kept. Without room, returns false and keeps nothing. */
async function copy(
  picked: Picked,
  total: number,
  { report, signal }: ObtainOptions,
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
          for (let at = 0; at < blob.size; at += DOWNLOAD_CHUNK) {
            signal.throwIfAborted();
            const chunk = new Uint8Array(await blob.slice(at, at + DOWNLOAD_CHUNK).arrayBuffer());
            writeAll(handle, chunk, at);
            done += chunk.length;
            report("copy", done, total);
          }
          handle.flush();
        } finally {
          handle.close();
        }
      }
      // The manifest is written last: a folder without one is not listed.
      const chunks = true as const;
      const files = picked.files.map(({ name, size }) => ({ name, url: "", size, chunks }));
      await writeManifest(folder, { source, name: picked.name, files, used: Date.now() });
    });
    return true;
  } catch (error) {
    await removeModel(source).catch(() => undefined);
    if (isRefused(error)) return false;
    throw error;
  }
}

/** The files of a complete manifest. Throws `BadModel` if one has another size. */
async function kept(folder: FileSystemDirectoryHandle, manifest: Manifest): Promise<Obtained> {
  const files = manifest.files.map(async ({ name, size }) => {
    const file = await (await folder.getFileHandle(name)).getFile();
    if (file.size !== size) {
      throw new BadModel(
        `${name}: the kept copy has ${file.size} bytes, not ${size}; delete it and load the ` +
          "model again",
      );
    }
    return new BlobFile(name, file);
  });
  return { name: manifest.name, files: await Promise.all(files) };
}

/** Files that are read from the server by ranges. Optional files may be missing. */
function onServer(model: Remote, files: StoredFile[]): Obtained {
  const found = files.flatMap((file) => {
    try {
      return [HttpFile.open(file.name, file.url)];
    } catch (error) {
      if (file.optional) return [];
      throw error;
    }
  });
  return { name: model.name, files: found };
}

/** Downloads and verifies the missing parts of a model. */
async function complete(model: Remote, options: ObtainOptions): Promise<void> {
  const { hash, report, signal, check } = options;
  const before = await stored("the kept model can't be read", async () => {
    const folder = await findFolder(model.source);
    return folder && readManifest(folder);
  });
  // Another tab completed the download while this one waited for the lock.
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
  const measured = await Promise.all(
    manifest.files.map(async (file) => {
      const found = file.chunks === true ? undefined : await measure(file, signal);
      return [file, found] as const;
    }),
  );
  manifest.files = measured
    .filter(([file, found]) => found || file.chunks === true)
    .map(([file]) => file);
  let done = 0;
  for (const [file, found] of measured) {
    if (file.chunks === true) done += file.size ?? 0;
    if (file.chunks === true || !found) continue;
    // Chunks of another version of the file can't be used.
    if (file.size !== found.size || file.etag !== found.etag || !found.ranges) file.chunks = [];
    file.size = found.size;
    file.etag = found.etag;
    const size = found.size ?? 0;
    done += file.chunks.reduce((sum, i) => sum + chunkBytes(i, size), 0);
  }
  const total = manifest.files.reduce((sum, file) => sum + (file.size ?? 0), 0);
  const ranges = measured.every(([, found]) => found?.ranges !== false);
  const head = manifest.files.map(
    ({ name, url, size, etag }) => new HttpFile(name, url, size ?? 0, etag),
  );
  await check(ranges ? { name: model.name, files: head } : undefined, total);
  await checkRoom(total - done);

  await stored("the model can't be written", async () => {
    // Without a valid manifest the content of the folder is unknown.
    if (manifest !== before) await removeModel(model.source);
    const folder = await folderOf(model.source);
    // Writes of the manifest are queued: each begins after the one before it.
    let writing = Promise.resolve();
    const save = () => {
      writing = writing.then(() => writeManifest(folder, manifest));
      return writing;
    };
    let written = 0;
    const remember = () => {
      if (Date.now() - written < MANIFEST_INTERVAL) return;
      written = Date.now();
      // The `save` at the end reports the error of a failed write.
      save().catch(() => undefined);
    };
    const count = (bytes: number) => {
      done += bytes;
      // The total is too small if a server sends no length.
      report("download", done, Math.max(done, total));
    };
    count(0);
    try {
      await save();
      for (const [file, found] of measured) {
        if (!found || file.chunks === true) continue;
        try {
          const { ranges } = found;
          await download({ folder, file, ranges, report: count, remember, signal });
        } catch (error) {
          // Chunks of two versions of a file can't be combined.
          if (error instanceof ChangedError) file.chunks = [];
          throw error;
        }
        if (file.sha256) {
          const blob = await (await folder.getFileHandle(file.name)).getFile();
          await verify(blob, file, hash(), (at) => report("verify", at, blob.size), signal).catch(
            (error) => {
              // A damaged file is downloaded again from its beginning.
              if (error instanceof BadModel) file.chunks = [];
              throw error;
            },
          );
        }
        file.chunks = true;
      }
    } finally {
      await save();
    }
  });
}

const chunkBytes = (i: number, size: number) =>
  Math.max(0, Math.min(DOWNLOAD_CHUNK, size - i * DOWNLOAD_CHUNK));

/** Throws the error of a full disk if so many bytes exceed the origin's quota. */
async function checkRoom(bytes: number): Promise<void> {
  const { quota, usage } = await navigator.storage.estimate();
  if (quota !== undefined && usage !== undefined && bytes > quota - usage) {
    throw new DOMException(`${bytes} bytes do not fit`, "QuotaExceededError");
  }
}
