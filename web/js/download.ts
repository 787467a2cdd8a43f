/**
 * Downloads of files into the origin's private file system, by ranges in parallel. An interrupted
 * download resumes.
 */

import { BadModel, NetworkError } from "./errors.js";
import { writeAll } from "./files.js";
import { DOWNLOAD_CHUNK, type StoredFile } from "./manifest.js";
import {
  byteCount,
  checkResponse,
  fileHeaders,
  request,
  requestOnce,
  retry,
  TransientError,
} from "./request.js";

/** Requests of one file that run at the same time. */
const PARALLEL = 4;

/** What a server reports about a file. */
export interface Measured {
  /** Bytes. Unknown only if the server serves no ranges and sends no length. */
  size?: number;
  etag?: string;
  /** Whether the server serves ranges of the file. */
  ranges: boolean;
}

/** Requests a file's size. Returns `undefined` if an optional file is missing. */
export async function measure(
  file: StoredFile,
  signal: AbortSignal,
): Promise<Measured | undefined> {
  const { url } = file;
  const expected = file.optional ? [404, 416] : [416];
  const response = await request(url, { Range: "bytes=0-0" }, signal, expected);
  await response.body?.cancel();
  if (response.status === 404) return undefined;
  const { size, version: etag } = fileHeaders(response.headers);
  if (response.status === 416) {
    if (size) throw new NetworkError(`${url}: the server refuses the first of ${size} bytes`);
    return { size: 0, etag, ranges: true };
  }
  if (response.status !== 206) return { size: wholeLength(response), etag, ranges: false };
  if (size !== undefined) return { size, etag, ranges: true };
  // A server of another origin may hide Content-Range. The range from byte 0 on has the length of
  // the file.
  const all = await request(url, { Range: "bytes=0-" }, signal);
  await all.body?.cancel();
  const length = wholeLength(all);
  if (length !== undefined) return { size: length, etag, ranges: true };
  throw new NetworkError(
    `${url}: the server does not say how large the file is; let it send Content-Length, and ` +
      "expose Content-Range to other origins",
  );
}

/**
 * The bytes of a response's body; unknown if it is compressed, as Content-Length is then smaller.
 */
function wholeLength({ headers }: Response): number | undefined {
  const encoding = headers.get("Content-Encoding") ?? "identity";
  return encoding === "identity" ? byteCount(headers.get("Content-Length")) : undefined;
}

/** The parameters of a download. */
export interface Download {
  folder: FileSystemDirectoryHandle;
  file: StoredFile;
  /** Whether the server serves ranges. */
  ranges: boolean;
  /** Receives the bytes that arrived, as a negative number those that must be downloaded again. */
  report: (bytes: number) => void;
  /** Called after each chunk. */
  remember: () => void;
  signal: AbortSignal;
}

/** Downloads the missing chunks of a file. */
export async function download(options: Download): Promise<void> {
  const { folder, file, ranges, report, remember, signal } = options;
  if (file.chunks === true) return;
  const handle = await (
    await folder.getFileHandle(file.name, { create: true })
  ).createSyncAccessHandle();
  try {
    const into = { handle, file, report, signal };
    if (ranges) await downloadChunks(into, file.chunks, remember);
    else await downloadWhole(into);
    handle.truncate(file.size ?? 0);
    handle.flush();
  } finally {
    handle.close();
  }
}

/** The destination of a download, and the callbacks around it. */
interface Into {
  handle: FileSystemSyncAccessHandle;
  file: StoredFile;
  report: (bytes: number) => void;
  signal: AbortSignal;
}

async function downloadChunks(into: Into, done: number[], remember: () => void): Promise<void> {
  const size = into.file.size ?? 0;
  const stored = new Set(done);
  const all = Array.from({ length: Math.ceil(size / DOWNLOAD_CHUNK) }, (_, i) => i);
  const missing = all.filter((i) => !stored.has(i));
  const failed = new AbortController();
  const signal = AbortSignal.any([into.signal, failed.signal]);
  const worker = async () => {
    for (let i = missing.shift(); i !== undefined; i = missing.shift()) {
      const start = i * DOWNLOAD_CHUNK;
      await downloadRange({ ...into, signal }, start, Math.min(size, start + DOWNLOAD_CHUNK));
      into.handle.flush();
      done.push(i);
      remember();
    }
  };
  const workers = Array.from({ length: PARALLEL }, () => worker());
  // The first error stops the other workers, and is the one to report.
  const errors: unknown[] = [];
  const fail = (error: unknown) => {
    errors.push(error);
    failed.abort();
  };
  await Promise.all(workers.map((one) => one.catch(fail)));
  if (errors.length > 0) throw errors[0];
}

/** Downloads one range. After a transient error it resumes at the last byte written. */
async function downloadRange(into: Into, start: number, end: number): Promise<void> {
  const { url, size, etag } = into.file;
  let at = start;
  await retry(into.signal, async () => {
    const response = await requestOnce(url, { Range: `bytes=${at}-${end - 1}` }, into.signal);
    try {
      if (response.status !== 206)
        throw new NetworkError(`${url}: the server no longer serves ranges`);
      checkResponse(url, fileHeaders(response.headers), { start: at, size, version: etag });
    } catch (error) {
      await response.body?.cancel().catch(() => undefined);
      throw error;
    }
    const from = at;
    ({ at } = await write(into, response, from, end));
    if (at < end) throw new TransientError(`${url}: the response was cut short`, at > from);
  });
}

/** Downloads a file from a server without ranges. After a transient error it starts over. */
async function downloadWhole(into: Into): Promise<void> {
  const { url, size, etag } = into.file;
  await retry(into.signal, async () => {
    const response = await requestOnce(url, {}, into.signal);
    const found = { size: wholeLength(response), version: fileHeaders(response.headers).version };
    try {
      checkResponse(url, found, { start: 0, size, version: etag });
    } catch (error) {
      await response.body?.cancel().catch(() => undefined);
      throw error;
    }
    const { at, ended } = await write(into, response, 0, size ?? Infinity);
    if (!ended || at < (size ?? 0)) {
      into.report(-at);
      throw new TransientError(`${url}: the response was cut short after ${at} bytes`);
    }
    // A server that sends no length ends its response; a lost connection ends it with an error.
    into.file.size = at;
  });
}

/**
 * Writes a response's body. Returns the position after its last byte, and whether the body ended
 * there. If not, the connection was lost.
 */
async function write(
  { handle, file, report }: Into,
  response: Response,
  start: number,
  end: number,
): Promise<{ at: number; ended: boolean }> {
  const reader = response.body?.getReader();
  let at = start;
  if (!reader) return { at, ended: true };
  for (;;) {
    const next = await reader.read().catch(() => undefined);
    if (!next?.value) return { at, ended: next?.done ?? false };
    if (at + next.value.length > end) {
      await reader.cancel();
      throw new NetworkError(
        `${file.url}: the server sent more than the ${end - start} bytes of the range`,
      );
    }
    writeAll(handle, next.value, at);
    at += next.value.length;
    report(next.value.length);
  }
}

/** An incremental hash function. */
export interface Hash {
  update(bytes: Uint8Array): void;
  finish(): string;
}

/** Compares a file with its SHA-256. Throws `BadModel` if they differ. */
export async function verify(
  file: Blob,
  { name, sha256 }: StoredFile,
  hash: Hash,
  report: (done: number) => void,
  signal: AbortSignal,
): Promise<void> {
  for (let at = 0; at < file.size; at += DOWNLOAD_CHUNK) {
    signal.throwIfAborted();
    hash.update(new Uint8Array(await file.slice(at, at + DOWNLOAD_CHUNK).arrayBuffer()));
    report(Math.min(file.size, at + DOWNLOAD_CHUNK));
  }
  const found = hash.finish();
  if (found !== sha256?.toLowerCase()) {
    throw new BadModel(
      `${name}: its SHA-256 is ${found}, not ${sha256}; the file is damaged, or another one: ` +
        "download it again",
    );
  }
}
